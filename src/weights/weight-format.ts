/**
 * @file The interface of a weight format: all that loading, conversion, kernels and memory plans need to know of it.
 *
 * A matrix [rows][cols] is stored row by row. A row is a sequence of whole blocks; columns of the last block beyond `cols` are
 * zero. A block holds the codes of its values and its parts, such as a scale.
 */

export interface BlockPart {
  /** Name of the part, e.g. `scale` or `minimum`. */
  readonly name: string;
  readonly numBytes: number;
}

export interface BlockShape {
  /** Values in a block: 1 for plain numbers, `row` when a whole row is one block. */
  readonly values: number | "row";
  /** Bits in the code of one value. */
  readonly codeBits: number;
  /** What a block has besides codes; empty for plain numbers. */
  readonly parts: readonly BlockPart[];
}

/** The format number that kernels of `assembly/` use for norms and biases, which are stored as plain f32. */
export const VECTOR_CODE = 255;
/** Numbers from here on are formats of checkpoints that kernels can read and not compute with. */
export const FIRST_BLOCKS_CODE = 32;

/** What the WASM backend needs of a format. The kernels themselves are in `assembly/linear/`, specialised by format. */
export interface WasmWeightFormat {
  /** The number by which kernels know the format; `npm run build:kernels` writes it into `assembly/generated/`. */
  readonly code: number;
  /** A matrix is kept in panels of four rows. In one record of a panel, each row has `cols` columns in `rowBytes` bytes. */
  readonly record: { readonly cols: number; readonly rowBytes: number };
  /** Names of exports of `assembly/`: conversion of stored rows to panels, preparation of activations, the matrix product. */
  readonly kernels: { readonly convert: string; readonly prepare: string; readonly linear: string };
  /** Bytes of one prepared activation: 4 for f32, 2 for int16. */
  readonly activationBytes: 2 | 4;
  /** Whether the product also reads the f32 sum of each group of activations, which the preparation leaves beside them. */
  readonly needsSums?: true;
  /** Whether the `convert` kernels can read rows stored in this format. Rows of other formats are dequantized in TypeScript first. */
  readonly isSource: boolean;
  /** Bytes of a weight in a block that the product unpacks when many rows of activations use it: 4 for f32, 2 for int16, 0 if it does not. */
  readonly unpackedBytes: 0 | 2 | 4;
}

/** Rows of a matrix as a WebGPU device holds them. */
export interface DeviceRows {
  readonly words: Uint8Array<ArrayBuffer>;
  /** Scales in a buffer of their own; null for formats without scales. */
  readonly scales: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | null;
}

/** What the WebGPU backend needs of a format. Kernels read units of eight neighbouring columns in every format. */
export interface WgslWeightFormat {
  /** WGSL types of the elements of `words`, and of `scales`: f32 where absent. */
  readonly word: string;
  readonly scale?: string;
  /** Bytes of one unit in `words` and in `scales`; 0 for formats without scales. */
  readonly unitBytes: number;
  readonly unitScaleBytes: number;
  /** A row is padded to a multiple of this many units, so that all columns of a unit share one scale. */
  readonly groupUnits: number;
  /** Body of `fn weight_unit(row_at: u32, unit: u32) -> array<vec4f, 2>`, where row_at is the first unit of the row. */
  readonly read: string;
  /** Whether `words` are f16 numbers, which matrix units can take without conversion. */
  readonly isHalf: boolean;
  /** Largest magnitude in some rows. Matrix units read them as f16 if that is small enough; without this function they never do. */
  peak?(rows: DeviceRows): number;
  /** Splits stored rows into words and scales. Absent when the words are simply the padded rows. */
  split?(stored: Uint8Array, rows: number, cols: number): DeviceRows;
}

export interface KeptAs {
  readonly type: string;
  /**
   * Converts stored rows to rows of that format with the same codes; scales that it holds in fewer bits are rounded to them.
   * Absent: floats are quantized instead.
   */
  convert?(stored: Uint8Array, rows: number, cols: number): Uint8Array<ArrayBuffer>;
}

export interface WeightFormat {
  /** The name in `--weights`, messages and `TensorInfo.dtype`. */
  readonly name: string;
  readonly block: BlockShape;
  /** Set when norms and biases may be kept in this format, because kernels can read them as f32. */
  readonly keepsVectors?: true;
  /** The format of embedding and head when the other matrices have this one; absent: the same format. */
  readonly embedding?: string;
  /** For a checkpoint format without kernels: the format that `--weights auto` keeps it in; absent: the format itself. */
  readonly keptAs?: KeptAs;
  /** Defines the format: writes the values of stored rows to `out` as f32 [rows][cols]. */
  dequantize(stored: Uint8Array, rows: number, cols: number, out: Float32Array): void;
  /** Quantizes f32 [rows][cols]; the result may share memory with `values`. Absent for formats that only come from checkpoints. */
  quantize?(values: Float32Array, rows: number, cols: number): Uint8Array<ArrayBuffer>;
  /** Index in [rows][cols] of the first NaN or infinity, or of the first value of its block; -1 when all are finite. */
  firstNonFinite(stored: Uint8Array, rows: number, cols: number): number;
  /**
   * Of a format that comes from checkpoints only: the number by which the WASM backend's `convert` kernels know it, from
   * `FIRST_BLOCKS` on; rows of others are dequantized in TypeScript first.
   */
  readonly wasmSource?: number;
  /** Absent when the WASM backend cannot compute with this format. */
  readonly wasm?: WasmWeightFormat;
  /** Absent when the WebGPU backend cannot compute with this format. */
  readonly wgsl?: WgslWeightFormat;
}

/** Whether every stored value is a plain number of its own. */
export const isPlain = ({ block }: WeightFormat): boolean => block.values === 1;

/** Bytes of one stored row. */
export function rowBytes({ block }: WeightFormat, cols: number): number {
  const values = block.values === "row" ? cols : block.values;
  const blocks = cols === 0 ? 0 : Math.ceil(cols / values);
  const parts = block.parts.reduce((sum, { numBytes }) => sum + numBytes, 0);
  return blocks * (Math.ceil((values * block.codeBits) / 8) + parts);
}

/** Bytes of a stored matrix. */
export const matrixBytes = (format: WeightFormat, rows: number, cols: number): number => rows * rowBytes(format, cols);

/** Whether this is a norm or a bias, which kernels read as plain numbers without the layout of a matrix. */
export const isVector = (format: WeightFormat, rows: number, cols: number): boolean =>
  format.keepsVectors === true && (rows === 1 || cols === 1);
