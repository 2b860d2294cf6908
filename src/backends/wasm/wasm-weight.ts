/** @file Weight matrices in WASM memory, and loading them from the bytes of a checkpoint. */
import { assert, TurboQuantError } from "../../errors.ts";
import { bytesOf } from "../../weights/elements.ts";
import { type WeightType, wasmWeightFormat, weightFormat } from "../../weights/registry.ts";
import {
  FIRST_BLOCKS_CODE,
  isPlain,
  rowBytes,
  VECTOR_CODE,
  type WasmWeightFormat,
  type WeightFormat,
} from "../../weights/weight-format.ts";
import {
  checkPart,
  exactRows,
  floatRows,
  rowsAs,
  stackParts,
  storedRows,
  type WeightPart,
} from "../../weights/weight-part.ts";
import type { LentMemory, Weight, WeightWriter } from "../ops.ts";
import { convert as convertParams } from "../parameters/activations.ts";
import { alignUp } from "./heap.ts";
import { PARAMS_ADDRESS, type WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import { STAGING_BYTES } from "./sizes.ts";
import type { ThreadPool } from "./thread-pool.ts";
import { PANEL_ROWS, panelRows, weightLayout } from "./weight-layout.ts";

export class WasmWeight implements Weight {
  readonly rows: number;
  readonly cols: number;
  readonly type: WeightType;
  readonly address: number;
  readonly format: WasmWeightFormat;
  /** Whether this is a norm or a bias, stored as plain numbers. */
  readonly isVector: boolean;
  /** Columns between the starts of two rows: a multiple of a record. */
  readonly stride: number;
  /** Bytes that one row has in its panel. */
  readonly rowBytes: number;
  readonly numBytes: number;
  /** Rows that belong together, and as many as they have in memory; see `panelRows`. */
  readonly unit: number;
  readonly unitRows: number;

  /** @throws TurboQuantError unsupported — a type without kernels here */
  constructor(rows: number, cols: number, type: WeightType, address: number, unit: number) {
    this.rows = rows;
    this.cols = cols;
    this.type = type;
    this.address = address;
    this.format = wasmWeightFormat(type);
    this.unit = unit;
    this.unitRows = panelRows(unit);
    const { isVector, stride, rowBytes, numBytes } = weightLayout(rows, cols, type, unit);
    this.isVector = isVector;
    this.stride = stride;
    this.rowBytes = rowBytes;
    this.numBytes = numBytes;
  }

  /** The number by which kernels know the format. */
  get code(): number {
    return this.isVector ? VECTOR_CODE : this.format.code;
  }
}

export class WeightLoader {
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;
  readonly #staging: ScratchBuffer;
  /** What lent memory is a part of. */
  #lent: ArrayBufferLike | null = null;

  constructor(memory: WasmMemory, pool: ThreadPool) {
    this.#memory = memory;
    this.#pool = pool;
    this.#staging = new ScratchBuffer(memory);
  }

  /** See `Ops.lendMemory`. Memory that is not shared moves when it grows, with reads under way into where it was. */
  lendMemory(numBytes: number): LentMemory | null {
    if (!this.#memory.shared) return null;
    const address = this.#roomFor(numBytes);
    if (address === null) return null;
    const bytes = this.#memory.u8.subarray(address, address + numBytes);
    this.#lent = bytes.buffer;
    return {
      bytes,
      giveBack: () => {
        this.#lent = null;
        this.#memory.heap.free(address, numBytes);
      },
    };
  }

  #roomFor(numBytes: number): number | null {
    try {
      return this.#memory.heap.allocate(numBytes, "bytes of a checkpoint").address;
    } catch (error) {
      if (error instanceof TurboQuantError && error.code === "out_of_memory") return null;
      throw error;
    }
  }

  /** @throws TurboQuantError out_of_memory */
  createWeight(rows: number, cols: number, as: WeightType, unit = 1): WeightWriter {
    const { numBytes } = weightLayout(rows, cols, as, unit);
    const address = this.#memory.allocateZeroed(numBytes, `a weight of ${rows}x${cols} in ${as}`);
    const weight = new WasmWeight(rows, cols, as, address, unit);
    return {
      write: (part, row) => {
        checkPart(part, cols);
        if (!weight.isVector) return this.#convert(part, weight, row);
        this.#memory.f32.set(stackParts([part]).data, address / 4 + row * cols);
        return false;
      },
      finish: () => weight,
    };
  }

  /** returns: whether all values are known to be finite */
  #convert(part: WeightPart, weight: WasmWeight, firstRow: number): boolean {
    const { source, code, rowsOf } = readable(part, weight.type);
    const bytes = rowBytes(source, part.cols);
    // Rows that the kernel can read as they are, in memory that it reads.
    const lies = source.name === part.dtype && part.data.buffer === this.#lent ? part.data.byteOffset : null;
    const rowsAtOnce = lies === null ? Math.max(1, Math.min(part.rows, Math.floor(STAGING_BYTES / bytes))) : part.rows;
    let areFinite = isPlain(source) || code >= FIRST_BLOCKS_CODE;
    const staging = lies === null ? this.#staging.ensure(rowsAtOnce * bytes) : 0;
    const { unit, unitRows } = weight;
    for (let row = 0, count = 0; row < part.rows; row += count) {
      const ofUnit = (firstRow + row) % unit;
      const together = unit === unitRows ? part.rows : unit - ofUnit;
      count = Math.min(rowsAtOnce, part.rows - row, together);
      if (lies === null) this.#memory.u8.set(rowsOf(row, count), staging);
      // Whole panels, so that threads do not write to one line.
      const block = alignUp(Math.ceil(count / (this.#pool.threads * 4)), PANEL_ROWS);
      convertParams.write(this.#memory.view, PARAMS_ADDRESS, {
        from: lies === null ? staging : lies + row * bytes,
        dtype: code,
        to: weight.address,
        firstRow: unit === unitRows ? firstRow + row : ((firstRow + row - ofUnit) / unit) * unitRows + ofUnit,
        cols: part.cols,
        stride: weight.stride,
        rows: count,
        block,
        sourceBytes: bytes,
        notFinite: 0,
      });
      const { convert } = weight.format.kernels;
      this.#pool.run(convert, PARAMS_ADDRESS, Math.ceil(count / block), count * part.cols > 1 << 14);
      areFinite &&= this.#memory.view.getUint32(PARAMS_ADDRESS + convertParams.offsets.notFinite, true) === 0;
    }
    return areFinite;
  }
}

interface Readable {
  readonly source: WeightFormat;
  /** The number by which kernels know it. */
  readonly code: number;
  rowsOf(row: number, count: number): Uint8Array;
}

/** Rows of the part in a form that the kernel of `as` can read: as they are, where it knows the format; other blocks become f32. */
function readable(part: WeightPart, as: WeightType): Readable {
  const stored = weightFormat(part.dtype);
  const code = stored.wasm?.isSource ? stored.wasm.code : stored.wasmSource;
  if (code !== undefined) return { source: stored, code, rowsOf: (row, count) => storedRows(part, row, count) };
  const isExact = exactRows(part, 0, 0, as) !== null;
  const source = weightFormat(isExact ? as : "f32");
  return {
    source,
    code: wasmWeightFormat(source.name).code,
    rowsOf: (row, count) => (isExact ? rowsAs(part, row, count, as) : bytesOf(floatRows(part, row, count))),
  };
}

export function asWasmWeight(weight: Weight): WasmWeight {
  assert(weight instanceof WasmWeight, "a weight of another backend");
  return weight;
}

/** A norm, a bias or another list of numbers. */
export function vectorOf(weight: Weight, what: string): WasmWeight {
  const vector = asWasmWeight(weight);
  assert(vector.type === "f32", `${what}: weights are f32`);
  return vector;
}
