/** @file Weight matrices in WASM memory: their layout, and loading them from checkpoint bytes. */
import { assert } from "../../errors.ts";
import type { Weight, WeightPart, WeightType } from "../ops.ts";
import { DTYPE_BYTES, stackedShape, stackParts } from "../weights.ts";
import { alignUp } from "./heap.ts";
import { PARAMS_ADDRESS, type WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import type { ThreadPool } from "./thread-pool.ts";

/** Types as the kernels number them (assembly/linear/types.ts). */
const TYPE_NUMBER = { f32: 0, f16: 1, bf16: 2, q8: 3, vector: 4, q4: 5 } as const;
/** Rows whose columns alternate in memory, so that a kernel reads one stream (assembly/linear/types.ts, grouped.ts). */
const PANEL_ROWS = 4;
/** Columns of one row in a record, and the record's bytes for that row. q8 and q4: 32 codes and their scale. */
const RECORDS = {
  f32: { cols: 8, rowBytes: 32 },
  f16: { cols: 8, rowBytes: 16 },
  bf16: { cols: 8, rowBytes: 16 },
  q8: { cols: 32, rowBytes: 36 },
  q4: { cols: 32, rowBytes: 20 },
} as const;
/** Checkpoint bytes converted at a time. */
export const STAGING_BYTES = 1 << 20;

const CONVERT_KERNEL = {
  f32: "convertToF32",
  f16: "convertToF16",
  bf16: "convertToBf16",
  q8: "convertToQ8",
  q4: "convertToQ4",
} as const;

export class WasmWeight implements Weight {
  readonly rows: number;
  readonly cols: number;
  readonly type: WeightType;
  readonly address: number;

  constructor(rows: number, cols: number, type: WeightType, address: number) {
    this.rows = rows;
    this.cols = cols;
    this.type = type;
    this.address = address;
  }

  /** Norms and biases lie in plain order. */
  get isVector(): boolean {
    return isVector(this.rows, this.cols, this.type);
  }

  /** How kernels name its layout. */
  get typeNumber(): number {
    return TYPE_NUMBER[this.isVector ? "vector" : this.type];
  }

  /** cols rounded up to whole records; the rest is zero, so that kernels have no remainders. */
  get stride(): number {
    return alignUp(this.cols, RECORDS[this.type].cols);
  }

  /** Bytes of one row in its panel. */
  get rowBytes(): number {
    const { cols, rowBytes } = RECORDS[this.type];
    return (this.stride / cols) * rowBytes;
  }

  get numBytes(): number {
    if (this.isVector) return this.rows * this.cols * 4;
    return alignUp(this.rows, PANEL_ROWS) * this.rowBytes;
  }
}

const isVector = (rows: number, cols: number, type: WeightType): boolean =>
  type === "f32" && (rows === 1 || cols === 1);

export class WeightLoader {
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;
  readonly #staging: ScratchBuffer;

  constructor(memory: WasmMemory, pool: ThreadPool) {
    this.#memory = memory;
    this.#pool = pool;
    this.#staging = new ScratchBuffer(memory);
  }

  /** @throws TurboQuantError invalid_argument — parts do not stack; out_of_memory */
  load(parts: readonly WeightPart[], as: WeightType): WasmWeight {
    const { rows, cols } = stackedShape(parts);
    const { numBytes } = new WasmWeight(rows, cols, as, 0);
    const address = this.#memory.allocateZeroed(numBytes, `a weight of ${rows}x${cols} in ${as}`);
    const weight = new WasmWeight(rows, cols, as, address);
    if (weight.isVector) {
      this.#memory.f32.set(stackParts(parts).data, address / 4);
      return weight;
    }
    let row = 0;
    for (const part of parts) {
      this.#convert(part, weight, row);
      row += part.rows;
    }
    return weight;
  }

  #convert(part: WeightPart, weight: WasmWeight, firstRow: number): void {
    const rowBytes = part.cols * DTYPE_BYTES[part.dtype];
    const rowsAtOnce = Math.max(1, Math.min(part.rows, Math.floor(STAGING_BYTES / rowBytes)));
    const staging = this.#staging.ensure(rowsAtOnce * rowBytes);
    for (let row = 0; row < part.rows; row += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, part.rows - row);
      this.#memory.u8.set(part.data.subarray(row * rowBytes, (row + count) * rowBytes), staging);
      const block = Math.ceil(count / (this.#pool.threads * 4));
      this.#memory.i32.set(
        [staging, TYPE_NUMBER[part.dtype], weight.address, firstRow + row, part.cols, weight.stride, count, block],
        PARAMS_ADDRESS / 4,
      );
      this.#pool.run(
        CONVERT_KERNEL[weight.type],
        PARAMS_ADDRESS,
        Math.ceil(count / block),
        count * part.cols > 1 << 14,
      );
    }
  }
}

export function asWasmWeight(weight: Weight): WasmWeight {
  assert(weight instanceof WasmWeight, "a weight of another backend");
  return weight;
}
