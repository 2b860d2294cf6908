/**
 * @file What a weight format says of itself, once, for everybody who stores, converts, computes with or plans weights in it.
 *
 * A matrix [rows][cols] is stored row by row. A row is a sequence of whole blocks; the last one may have columns to spare,
 * which are zero. A block holds the codes of its values and its parts, such as a scale.
 */

export interface BlockPart {
  /** What it is: `scale`, `minimum`. */
  readonly name: string;
  readonly numBytes: number;
}

export interface BlockShape {
  /** Values of a block: 1 for plain numbers, `row` where a row is one block however long it is. */
  readonly values: number | "row";
  /** Bits of the code of one value. */
  readonly codeBits: number;
  /** Present once a block; empty for plain numbers. */
  readonly parts: readonly BlockPart[];
}

/** How kernels of `assembly/` know norms and biases, which lie in plain order. Formats have codes of their own. */
export const VECTOR_CODE = 255;

/** How the WASM backend keeps a format. The kernels themselves are specialised by type in `assembly/linear/`. */
export interface WasmWeightFormat {
  /** The number that kernels know it by; `npm run build:kernels` writes it into `assembly/generated/`. */
  readonly code: number;
  /** A matrix lies in panels of four rows: the columns that one row has in a record of its panel, and their bytes. */
  readonly record: { readonly cols: number; readonly rowBytes: number };
  /** Exports of `assembly/`: stored rows into panels, activations into what the product reads, the product. */
  readonly kernels: { readonly convert: string; readonly prepare: string; readonly linear: string };
  /** Bytes of a prepared activation: 4 for f32, 2 for int16. */
  readonly activationBytes: 2 | 4;
  /** Whether `convert` of every format reads rows stored in this one. Others are dequantized by the reference first. */
  readonly isSource: boolean;
  /** Whether the product unpacks a block of weights to f32 when many rows of activations use it. */
  readonly unpacks: boolean;
}

/** Rows as they lie on a WebGPU device. */
export interface DeviceRows {
  readonly words: Uint8Array<ArrayBuffer>;
  /** Of formats that have any: in a buffer of their own. */
  readonly scales: Float32Array<ArrayBuffer> | null;
}

/** How the WebGPU backend keeps a format. Kernels read units of eight neighbouring columns, whatever the format. */
export interface WgslWeightFormat {
  /** WGSL type of an element of `words`. */
  readonly word: string;
  /** Bytes of a unit in `words`, and in `scales`: 0 where there are none. */
  readonly unitBytes: number;
  readonly unitScaleBytes: number;
  /** A row is padded to a multiple of so many units, so that a unit belongs to one scale. */
  readonly groupUnits: number;
  /** Body of `fn weight_unit(row_at: u32, unit: u32) -> array<vec4f, 2>`; row_at: the row's first unit. */
  readonly read: string;
  /** Whether `words` are f16, which matrix units take as they lie. */
  readonly isHalf: boolean;
  /** Largest magnitude of some rows; matrix units may read them as f16 when it allows that. Absent: they may not. */
  peak?(rows: DeviceRows): number;
  /** Stored rows as words and scales. Absent: the words are the stored rows, padded. */
  split?(stored: Uint8Array, rows: number, cols: number): DeviceRows;
}

export interface KeptAs {
  readonly type: string;
  /** Stored rows as rows of that type with the same values, code by code. Absent: floats are quantized to it. */
  convert?(stored: Uint8Array, rows: number, cols: number): Uint8Array<ArrayBuffer>;
}

export interface WeightFormat {
  /** As `--weights`, messages and `TensorInfo.dtype` call it. */
  readonly name: string;
  readonly block: BlockShape;
  /** Whether norms and biases may be kept in it: kernels read them as f32. */
  readonly keepsVectors?: true;
  /** The format of the embedding and the head beside matrices in this one; itself where absent. */
  readonly embedding?: string;
  /** What `--weights auto` keeps it in, for a format of checkpoints that no kernel computes with; itself where absent. */
  readonly keptAs?: KeptAs;
  /** The definition: stored rows as f32, [rows][cols] into `out`. */
  dequantize(stored: Uint8Array, rows: number, cols: number, out: Float32Array): void;
  /** f32 [rows][cols] as stored rows; may share memory with `values`. Absent: it comes from checkpoints only. */
  quantize?(values: Float32Array, rows: number, cols: number): Uint8Array<ArrayBuffer>;
  /** Index in [rows][cols] of the first value that is NaN or infinite, or of the first of its block; -1 when there is none. */
  firstNonFinite(stored: Uint8Array, rows: number, cols: number): number;
  /** Absent: the WASM backend does not compute with it. */
  readonly wasm?: WasmWeightFormat;
  /** Absent: the WebGPU backend does not compute with it. */
  readonly wgsl?: WgslWeightFormat;
}

/** Plain numbers: every value stands for itself, and reading them loses nothing. */
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

/** Norms and biases lie in plain order, without the layout of a matrix. */
export const isVector = (format: WeightFormat, rows: number, cols: number): boolean =>
  format.keepsVectors === true && (rows === 1 || cols === 1);
