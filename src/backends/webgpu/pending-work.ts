/**
 * @file Norms and gates of few rows that no operation has read yet. Products do them together with their own work; for other readers
 * they are computed when their result is read.
 */
import { assert } from "../../errors.ts";
import type { Buf } from "../ops.ts";
import type { ElementwiseKernels } from "./elementwise/elementwise.ts";
import type { InputWork } from "./linear/product.ts";
import { bufferOf, type GpuBuffer } from "./queue/buffers.ts";

/** Rows that are still to be computed of others. */
export interface PendingRows {
  readonly work: InputWork;
  readonly from: GpuBuffer;
  readonly to: GpuBuffer;
  readonly rows: number;
  /** Of `to`. */
  readonly cols: number;
}

interface Pending extends PendingRows {
  /** Whether `from` has been written since: then only products that came before could have taken the work. */
  isStale: boolean;
}

export class PendingWork {
  readonly #elementwise: ElementwiseKernels;
  /** By their result. */
  readonly #pending = new Map<GpuBuffer, Pending>();

  constructor(elementwise: ElementwiseKernels) {
    this.#elementwise = elementwise;
  }

  /** `to` has just been written in the sense of `written`. */
  add(work: InputWork, from: GpuBuffer, to: GpuBuffer, rows: number, cols: number): void {
    this.#pending.set(to, { work, from, to, rows, cols, isStale: false });
  }

  /** What is still to be done for rows of x, if a product can do it: its input has to differ from what it writes. */
  takeable(x: Buf, cols: number, rows: number, out: Buf): PendingRows | null {
    const pending = this.#pending.get(bufferOf(x, rows * cols, "linear"));
    if (!pending || pending.isStale || pending.rows !== rows || pending.cols !== cols) return null;
    const to = bufferOf(out, 0, "linear");
    return to !== pending.from && to !== pending.to ? pending : null;
  }

  /** The device buffer of what an operation reads, after whatever was still to be computed of it. */
  read(buf: Buf, length: number, what: string): GpuBuffer {
    const buffer = bufferOf(buf, length, what);
    const pending = this.#pending.get(buffer);
    if (!pending) return buffer;
    assert(!pending.isStale, `${what}: what a norm or a gate reads was changed before its result was read`);
    this.#compute(pending);
    return buffer;
  }

  /** Computes what is still to be done with what lies in a buffer, before the buffer is given back. */
  readFrom(buf: Buf): void {
    const buffer = bufferOf(buf, 0, "free");
    for (const pending of [...this.#pending.values()]) {
      if (pending.from === buffer && !pending.isStale) this.#compute(pending);
    }
  }

  /** The device buffer of what an operation writes. */
  written(buf: Buf, length: number, what: string): GpuBuffer {
    const buffer = bufferOf(buf, length, what);
    this.#pending.delete(buffer);
    for (const pending of this.#pending.values()) {
      if (pending.from === buffer) pending.isStale = true;
    }
    return buffer;
  }

  #compute({ work, from, to, rows, cols }: Pending): void {
    this.#pending.delete(to);
    if (work.kind === "norm") this.#elementwise.rmsNorm(from, work.weight, cols, work.eps, rows, to);
    else this.#elementwise.swiglu(from, rows, cols, to);
  }
}
