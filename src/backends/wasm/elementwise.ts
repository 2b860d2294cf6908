/** @file Operations on each value or each row of activations by itself: embeddings, norms, activations, sums of streams, scales and caps. */
import { assert } from "../../errors.ts";
import { runLists } from "../column-runs.ts";
import type { Activation, Buf, ColumnRun, RowNorm, RowParts, StreamMix, Weight } from "../ops.ts";
import {
  ACTIVATIONS,
  activate,
  embed,
  mixStreams,
  NORM_FLAGS,
  norm,
  resizeParts,
  rmsNorm,
  scaleColumns,
  softcap,
  swiglu,
} from "../parameters/activations.ts";
import { PARAMS_ADDRESS, type WasmMemory } from "./memory.ts";
import type { ThreadPool } from "./thread-pool.ts";
import { addressIn } from "./wasm-buf.ts";
import { asWasmWeight, vectorOf } from "./wasm-weight.ts";

/** Number of elements whose elementwise operation takes about as long as waking another thread. */
const PARALLEL_ELEMENTS = 1 << 14;

/** The operations of `Ops` of these names, over one memory. */
export class ElementwiseKernels {
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;

  constructor(memory: WasmMemory, pool: ThreadPool) {
    this.#memory = memory;
    this.#pool = pool;
  }

  /** indices: address of the rows' numbers in the table */
  embed(indices: number, count: number, table: Weight, out: Buf, scale: number, add: boolean): void {
    const { address, cols, stride, code } = asWasmWeight(table);
    embed.write(this.#memory.view, PARAMS_ADDRESS, {
      table: address,
      type: code,
      tokens: indices,
      out: addressIn(this.#memory, out, count * cols, "embed"),
      cols,
      stride,
      scale,
      add: add ? 1 : 0,
    });
    this.#run("embed", count, count * cols);
  }

  rmsNorm(x: Buf, weight: Weight, eps: number, rows: number, out: Buf): void {
    const { address, cols, type } = asWasmWeight(weight);
    assert(type === "f32", "rmsNorm: weights are f32");
    const block = this.#rowsOfTask(rows);
    const from = addressIn(this.#memory, x, rows * cols, "rmsNorm");
    const to = addressIn(this.#memory, out, rows * cols, "rmsNorm");
    rmsNorm.write(this.#memory.view, PARAMS_ADDRESS, { x: from, weight: address, out: to, cols, rows, block, eps });
    this.#run("rmsNorm", Math.ceil(rows / block), rows * cols);
  }

  norm(x: Buf, of: RowNorm, rows: number, out: Buf): void {
    const { kind, eps, add, cutoff, like } = of;
    const weight = vectorOf(of.weight, "norm");
    const { groups = 1 } = of;
    const cols = (weight.rows * weight.cols) / groups;
    const { first = 0, stride = cols } = of;
    const [outFirst, outStride] = of.isCompact ? [0, cols] : [first, stride];
    const count = rows * groups;
    const block = this.#rowsOfTask(count);
    norm.write(this.#memory.view, PARAMS_ADDRESS, {
      x: addressIn(this.#memory, x, count * stride, "norm") + first * 4,
      out: addressIn(this.#memory, out, count * outStride, "norm") + outFirst * 4,
      weight: weight.address,
      bias: of.bias ? vectorOf(of.bias, "norm").address : 0,
      cols,
      stride,
      outStride,
      rows: count,
      block,
      eps,
      flags:
        (kind === "layer" ? NORM_FLAGS.center : 0) +
        (kind === "none" ? NORM_FLAGS.plain : 0) +
        (add ? NORM_FLAGS.add : 0) +
        (cutoff === undefined ? 0 : NORM_FLAGS.cut),
      groups,
      factor: of.factor ? vectorOf(of.factor, "norm").address : 0,
      cutoff: cutoff ?? 0,
      like: like ? addressIn(this.#memory, like.rows, count * like.stride, "norm") + like.first * 4 : 0,
      likeStride: like?.stride ?? 0,
    });
    this.#run("norm", Math.ceil(count / block), count * cols);
  }

  swiglu(gateUp: Buf, rows: number, width: number, out: Buf): void {
    const block = this.#rowsOfTask(rows);
    const from = addressIn(this.#memory, gateUp, rows * width * 2, "swiglu");
    const to = addressIn(this.#memory, out, rows * width, "swiglu");
    swiglu.write(this.#memory.view, PARAMS_ADDRESS, { gateUp: from, out: to, width, rows, block });
    this.#run("swiglu", Math.ceil(rows / block), rows * width);
  }

  activate(x: Buf, { kind, isGated, alphas, clamp }: Activation, rows: number, width: number, out: Buf): void {
    const block = this.#rowsOfTask(rows);
    activate.write(this.#memory.view, PARAMS_ADDRESS, {
      x: addressIn(this.#memory, x, rows * width * (isGated ? 2 : 1), "activate"),
      out: addressIn(this.#memory, out, rows * width, "activate"),
      width,
      rows,
      block,
      kind: ACTIVATIONS[kind],
      gated: isGated ? 1 : 0,
      alphas: alphas ? vectorOf(alphas, "activate").address : 0,
      limit: clamp?.limit ?? 0,
      slope: clamp?.slope ?? 0,
      offset: clamp?.offset ?? 0,
    });
    this.#run("activate", Math.ceil(rows / block), rows * width);
  }

  mixStreams(x: Buf, mix: StreamMix, coefficients: Buf | null, rows: number, width: number, out: Buf): void {
    const { from, to, first, stride, factor, add } = mix;
    const block = this.#rowsOfTask(rows);
    mixStreams.write(this.#memory.view, PARAMS_ADDRESS, {
      x: addressIn(this.#memory, x, rows * from.of * width, "mixStreams") + from.first * width * 4,
      out: addressIn(this.#memory, out, rows * to.of * width, "mixStreams") + to.first * width * 4,
      coefficients: coefficients ? addressIn(this.#memory, coefficients, rows * stride, "mixStreams") + first * 4 : 0,
      stride,
      width,
      inputs: from.count,
      outputs: to.count,
      streams: from.of,
      outStreams: to.of,
      rows,
      block,
      factor,
      add: add ? 1 : 0,
    });
    this.#run("mixStreams", Math.ceil(rows / block), rows * width * Math.max(from.count, to.count));
  }

  scaleColumns(x: Buf, runs: readonly ColumnRun[], rows: number, width: number): void {
    const block = this.#rowsOfTask(rows);
    scaleColumns.write(this.#memory.view, PARAMS_ADDRESS, {
      x: addressIn(this.#memory, x, rows * width, "scaleColumns"),
      width,
      rows,
      block,
      runs: runs.length,
      ...runLists(runs),
    });
    this.#run("scaleColumns", Math.ceil(rows / block), rows * width);
  }

  resizeParts(x: Buf, from: RowParts, count: number, rows: number, out: Buf, to: RowParts): void {
    const block = this.#rowsOfTask(rows);
    resizeParts.write(this.#memory.view, PARAMS_ADDRESS, {
      x: addressIn(this.#memory, x, rows * from.stride, "resizeParts") + from.first * 4,
      out: addressIn(this.#memory, out, rows * to.stride, "resizeParts") + to.first * 4,
      width: from.width,
      outWidth: to.width,
      stride: from.stride,
      outStride: to.stride,
      count,
      rows,
      block,
    });
    this.#run("resizeParts", Math.ceil(rows / block), rows * count * to.width);
  }

  softcap(x: Buf, length: number, cap: number): void {
    const block = Math.ceil(length / (this.#pool.threads * 16)) * 4;
    softcap.write(this.#memory.view, PARAMS_ADDRESS, {
      x: addressIn(this.#memory, x, length, "softcap"),
      length,
      block,
      cap,
    });
    this.#run("softcap", Math.ceil(length / block), length);
  }

  /** Rows in one task of an elementwise operation. */
  #rowsOfTask(rows: number): number {
    return Math.max(1, Math.ceil(rows / (this.#pool.threads * 4)));
  }

  #run(kernel: string, numTasks: number, elements: number): void {
    this.#pool.run(kernel, PARAMS_ADDRESS, numTasks, elements > PARALLEL_ELEMENTS);
  }
}
