/** @file `Ops.linear` prepares the activations and runs the kernel of the weight's type; `Ops.multiplyHeads` unpacks a head's rows. */
import { assert } from "../../errors.ts";
import { outputWidthOf } from "../head-product.ts";
import type { HeadProduct } from "../ops.ts";
import { heads as headParams, linear as linearParams, prepare as prepareParams } from "../parameters/activations.ts";
import { PARAMS_ADDRESS, type WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import type { ThreadPool } from "./thread-pool.ts";
import type { WasmWeight } from "./wasm-weight.ts";
import { preparedBytes } from "./weight-layout.ts";

/** Up to this many rows stream the weights from memory; more work on a block of them that stays in a cache. */
export const STREAM_ROWS = 4;
/** Bytes of weights in a task. Long enough to hide taking it, short enough that threads end together. */
export const STREAM_BYTES = 96 << 10;
/** Weights of a block, as they are unpacked; about a quarter of an L2 cache. */
export const BLOCK_BYTES = 256 << 10;
/** Multiply-adds that take about as long as waking another thread. */
export const PARALLEL_MACS = 1 << 16;

/** Rows of activations that share what `multiplyHeads` unpacks of the matrix. */
const HEAD_BLOCK_ROWS = 16;
/** Multiply-adds of `multiplyHeads`, with what it unpacks, that take about as long as waking another thread. */
const PARALLEL_HEAD_PRODUCTS = 1 << 14;

export class LinearKernels {
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;
  readonly #prepared: ScratchBuffer;

  constructor(memory: WasmMemory, pool: ThreadPool) {
    this.#memory = memory;
    this.#pool = pool;
    this.#prepared = new ScratchBuffer(memory);
  }

  /**
   * x: f32 [rows][w.cols] · out: f32 [rows][total], of which w.rows are written from the first on · bias: address of f32
   * [w.rows], or 0
   */
  run(x: number, w: WasmWeight, bias: number, rows: number, out: number, add: boolean, total = w.rows): void {
    if (rows === 0) return;
    assert(!w.isVector, "linear: expected a matrix, got a vector");
    const { kernels, unpackedBytes } = w.format;
    const bytes = preparedBytes(w.format, rows, w.stride);
    const prepared = this.#prepared.ensure(bytes.values + bytes.sums + bytes.scales);
    const sums = prepared + bytes.values;
    const scale = sums + bytes.sums;

    const preparedRows = Math.ceil(rows / (this.#pool.threads * 4));
    prepareParams.write(this.#memory.view, PARAMS_ADDRESS, {
      x,
      out: prepared,
      scale,
      sums,
      cols: w.cols,
      stride: w.stride,
      rows,
      block: preparedRows,
    });
    this.#pool.run(kernels.prepare, PARAMS_ADDRESS, Math.ceil(rows / preparedRows), rows * w.stride > 1 << 15);

    const parallel = this.#pool.threads > 1 && rows * w.rows * w.stride > PARALLEL_MACS;
    const taskBytes = rows <= STREAM_ROWS ? STREAM_BYTES : BLOCK_BYTES;
    const rowBytes = rows > STREAM_ROWS && unpackedBytes > 0 ? w.stride * unpackedBytes : w.rowBytes;
    const even = w.rows / (this.#pool.threads * 4);
    // One row needs no scratch by the number of outputs, and one thread nobody to share them with.
    const block =
      rows === 1 && !parallel ? w.rows : Math.max(4, Math.floor(Math.min(taskBytes / rowBytes, even) / 4) * 4);
    linearParams.write(this.#memory.view, PARAMS_ADDRESS, {
      x: prepared,
      xScale: scale,
      xSums: sums,
      w: w.address,
      bias,
      out,
      rows,
      n: w.rows,
      total,
      stride: w.stride,
      add: add ? 1 : 0,
      block,
      readsAhead: this.#memory.exceedsCaches ? 1 : 0,
    });
    this.#pool.run(kernels.linear, PARAMS_ADDRESS, Math.ceil(w.rows / block), parallel);
  }

  /** x, out: addresses as in `Ops.multiplyHeads` */
  multiplyHeads(x: number, w: WasmWeight, product: HeadProduct, rows: number, out: number): void {
    const { numHeads, headRows, first, count, isTransposed, inputWidth } = product;
    const { address, cols, stride, code } = w;
    // The rows of a task share what is unpacked of the matrix; a block of them stays in a cache.
    const block = Math.min(rows, HEAD_BLOCK_ROWS);
    headParams.write(this.#memory.view, PARAMS_ADDRESS, {
      x,
      out,
      table: address,
      type: code,
      cols,
      stride,
      numHeads,
      rows,
      block,
      headRows,
      first,
      count,
      isTransposed: isTransposed ? 1 : 0,
      inputWidth,
      outputWidth: outputWidthOf(product, cols),
    });
    const products = rows * numHeads * count * cols;
    this.#pool.run(
      "multiplyHeads",
      PARAMS_ADDRESS,
      numHeads * Math.ceil(rows / block),
      products > PARALLEL_HEAD_PRODUCTS,
    );
  }
}
