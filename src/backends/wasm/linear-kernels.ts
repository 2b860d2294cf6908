/** @file Matrices of the WASM backend: how weights are stored, and x · Wᵀ (assembly/linear/). */
import { TurboQuantError } from "../../errors.ts";
import type { Weight, WeightPart, WeightType } from "../ops.ts";
import { DTYPE_BYTES, stackedShape } from "../weights.ts";
import type { WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import type { ThreadPool } from "./thread-pool.ts";

/** Codes of the types in assembly/linear/types.ts and embed.ts. */
const TYPE_CODE = { f32: 0, f16: 1, bf16: 2, q8: 3 } as const;
const CONVERT = { f32: "convertToF32", f16: "convertToF16", bf16: "convertToBf16", q8: "convertToQ8" } as const;
const PREPARE = { f32: "preparePlain", f16: "preparePlain", bf16: "prepareEvenOdd", q8: "prepareInt16" } as const;
const LINEAR = { f32: "linearF32", f16: "linearF16", bf16: "linearBf16", q8: "linearQ8" } as const;

/** One panel of four q8 rows: a scale and 32 codes a row for each group (assembly/linear/q8.ts). */
const RECORD_BYTES = 144;
/** Source bytes converted at a time: bounds the copy of the checkpoint's bytes in WASM memory. */
const STAGING_BYTES = 8 << 20;
/** Fewer multiplications than this take less time than waking another thread. */
const PARALLEL_PRODUCTS = 60_000;
/** Output columns of a task; unpacked they fit a thread's scratch (384 KiB) when there are many rows. */
const MIN_BLOCK = 16;
const UNPACK_BYTES = 384 * 1024;

export class WasmWeight implements Weight {
  readonly rows: number;
  readonly cols: number;
  readonly type: WeightType;
  readonly numBytes: number;
  readonly address: number;
  /** Elements of a stored row: cols rounded up to 8, or 32 for q8. */
  readonly stride: number;

  constructor(rows: number, cols: number, type: WeightType, address: number, stride: number, numBytes: number) {
    this.rows = rows;
    this.cols = cols;
    this.type = type;
    this.address = address;
    this.stride = stride;
    this.numBytes = numBytes;
  }

  get typeCode(): number {
    return TYPE_CODE[this.type];
  }
}

const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

export class LinearKernels {
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;
  readonly #params: number;
  readonly #prepared: ScratchBuffer;
  readonly #scales: ScratchBuffer;

  constructor(memory: WasmMemory, pool: ThreadPool) {
    this.#memory = memory;
    this.#pool = pool;
    this.#params = memory.allocateZeroed(64, "kernel parameters");
    this.#prepared = new ScratchBuffer(memory);
    this.#scales = new ScratchBuffer(memory);
  }

  /** Converts and stores a matrix; see `Ops.loadWeight`. */
  load(parts: readonly WeightPart[], as: WeightType): WasmWeight {
    const { rows, cols } = stackedShape(parts);
    const stride = roundUp(cols, as === "q8" ? 32 : 8);
    const numBytes =
      as === "q8" ? Math.ceil(rows / 4) * (stride / 32) * RECORD_BYTES : rows * stride * DTYPE_BYTES[as];
    const address = this.#memory.allocateZeroed(numBytes, `a weight of ${rows} x ${cols} ${as}`);
    let firstRow = 0;
    for (const part of parts) {
      this.#convert(part, as, address, firstRow, stride);
      firstRow += part.rows;
    }
    return new WasmWeight(rows, cols, as, address, stride, numBytes);
  }

  #convert(part: WeightPart, as: WeightType, to: number, firstRow: number, stride: number): void {
    const rowBytes = part.cols * DTYPE_BYTES[part.dtype];
    const atOnce = Math.max(1, Math.floor(STAGING_BYTES / rowBytes));
    const size = Math.min(atOnce, part.rows) * rowBytes;
    const { address } = this.#memory.heap.allocate(size, "weights on their way in");
    for (let row = 0; row < part.rows; row += atOnce) {
      const rows = Math.min(atOnce, part.rows - row);
      this.#memory.u8.set(part.data.subarray(row * rowBytes, (row + rows) * rowBytes), address);
      const block = Math.max(4, Math.ceil(rows / 64));
      this.#setParams([address, TYPE_CODE[part.dtype], to, firstRow + row, part.cols, stride, rows, block]);
      this.#pool.run(CONVERT[as], this.#params, Math.ceil(rows / block), rows * part.cols > PARALLEL_PRODUCTS);
    }
    this.#memory.heap.free(address, size);
  }

  /** out[r] (+)= w · x[r] (+ bias) for r < rows. */
  multiply(x: number, w: WasmWeight, bias: WasmWeight | null, rows: number, out: number, add: boolean): void {
    if (rows === 0) return;
    if (bias && bias.type !== "f32") throw new TurboQuantError("internal", "internal: a bias is kept as f32");
    const parallel = rows * w.rows * w.cols > PARALLEL_PRODUCTS;
    const { prepared, scales } = this.#prepare(x, w, rows, parallel);
    const block = this.#blockRows(w, rows);
    this.#setParams([prepared, scales, w.address, bias?.address ?? 0, out, rows, w.rows, w.stride, add ? 1 : 0, block]);
    this.#pool.run(LINEAR[w.type], this.#params, Math.ceil(w.rows / block), parallel);
  }

  /** Activations in the order and padding the kernel reads. */
  #prepare(x: number, w: WasmWeight, rows: number, parallel: boolean): { prepared: number; scales: number } {
    const prepared = this.#prepared.ensure(rows * w.stride * (w.type === "q8" ? 2 : 4));
    const scales = w.type === "q8" ? this.#scales.ensure(rows * 4) : 0;
    const block = Math.max(1, Math.ceil(rows / 16));
    this.#setParams([x, prepared, scales, w.cols, w.stride, rows, block]);
    this.#pool.run(PREPARE[w.type], this.#params, Math.ceil(rows / block), parallel && rows >= 16);
    return { prepared, scales };
  }

  /** A multiple of 4: small enough to share among threads, and to unpack into scratch when rows are many. */
  #blockRows(w: WasmWeight, rows: number): number {
    const share = roundUp(Math.ceil(w.rows / 64), MIN_BLOCK);
    if (rows <= 4 || w.type === "f32" || w.type === "q8") return share;
    const fits = Math.floor(UNPACK_BYTES / (w.stride * 4)) & ~3;
    return Math.max(4, Math.min(share, fits));
  }

  #setParams(words: readonly number[]): void {
    this.#memory.u32.set(words, this.#params / 4);
  }
}
