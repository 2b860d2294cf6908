/** @file Weight matrices in WASM memory: their layout, and loading them from checkpoint bytes. */
import { assert } from "../../errors.ts";
import type { Weight, WeightPart, WeightType } from "../ops.ts";
import { DTYPE_BYTES, stackedShape } from "../weights.ts";
import { alignUp } from "./heap.ts";
import { PARAMS_ADDRESS, type WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import type { ThreadPool } from "./thread-pool.ts";

/** Types as the kernels number them (assembly/linear/types.ts; q8 in assembly/elementwise/embed.ts). */
export const TYPE_NUMBER = { f32: 0, f16: 1, bf16: 2, q8: 3 } as const;
/** Columns of one scale of q8. */
const GROUP = 32;
/** A group of four rows: f32 scales and int8 codes (assembly/linear/q8.ts). */
const RECORD_BYTES = 4 * 4 + 4 * GROUP;
/** Checkpoint bytes converted at a time. */
const STAGING_BYTES = 1 << 20;

const CONVERT_KERNEL = { f32: "convertToF32", f16: "convertToF16", bf16: "convertToBf16", q8: "convertToQ8" } as const;

export class WasmWeight implements Weight {
  readonly rows: number;
  readonly cols: number;
  readonly type: WeightType;
  readonly address: number;
  /** Elements from one row to the next: cols rounded up, so that kernels have no remainders. */
  readonly stride: number;
  readonly numBytes: number;

  constructor(rows: number, cols: number, type: WeightType, address: number) {
    this.rows = rows;
    this.cols = cols;
    this.type = type;
    this.address = address;
    this.stride = strideOf(cols, type);
    this.numBytes = weightBytes(rows, cols, type);
  }
}

/** A single column (a bias) is a plain vector. */
function strideOf(cols: number, type: WeightType): number {
  return type === "q8" ? alignUp(cols, GROUP) : cols === 1 ? 1 : alignUp(cols, 8);
}

function weightBytes(rows: number, cols: number, type: WeightType): number {
  const stride = strideOf(cols, type);
  if (type === "q8") return Math.ceil(rows / 4) * (stride / GROUP) * RECORD_BYTES;
  return rows * stride * DTYPE_BYTES[type];
}

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
    const address = this.#memory.allocateZeroed(weightBytes(rows, cols, as), `a weight of ${rows}x${cols} in ${as}`);
    const weight = new WasmWeight(rows, cols, as, address);
    let row = 0;
    for (const part of parts) {
      // The checkpoint's own layout: nothing to do but copy.
      if (part.dtype === as && weight.stride === cols) {
        this.#memory.u8.set(part.data, address + row * cols * DTYPE_BYTES[as]);
      } else this.#convert(part, weight, row);
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
