/** @file A matrix product as kernels are told of it. */
import type { GpuBuffer } from "../queue/buffers.ts";
import type { GpuWeight } from "./gpu-weight.ts";

/** An RMS norm that a product takes of its input. */
export interface InputNorm {
  readonly kind: "norm";
  readonly weight: GpuBuffer;
  readonly eps: number;
}

/** What a product can do with its input first. `gate`: a row of the input is gate and up, of which it takes silu(gate) · up. */
export type InputWork = InputNorm | { readonly kind: "gate" };

/** A product by a weight, or by a run of a stack. */
export interface Product {
  readonly x: GpuBuffer;
  /** Done with x first, or null; see `canTake`. */
  readonly work: InputWork | null;
  readonly out: GpuBuffer;
  readonly bias: GpuWeight | null;
  readonly rows: number;
  readonly add: boolean;
  /** Whether w is gate over up, and out[i] = silu(gate[i] · x) · (up[i] · x). Then there is no bias, and nothing is added. */
  readonly gated: boolean;
  /** Place of the weight's outputs in a row of `out`, and the length of that row. */
  readonly offset: number;
  readonly total: number;
}

/** Of all kernels that read the weight as it is stored. */
export const linearFields = {
  rows: "u32",
  cols: ["u32", "Columns of x; units of eight columns from a row of the weight to the next."],
  stride: "u32",
  outputs: ["u32", "Rows of the weight that are here, the first of them, and all."],
  first: "u32",
  total: "u32",
  hasBias: "u32",
  add: ["u32", "1: the products are added to `out`."],
} as const;
/** What every kernel is told of a product and a part of its weight. */
export const paramsOf = (
  w: GpuWeight,
  part: GpuWeight["chunks"][number],
  { rows, bias, add, offset, total }: Product,
) => ({
  rows,
  cols: w.cols,
  stride: w.stride,
  outputs: part.rows,
  first: offset + part.first,
  total,
  hasBias: bias ? 1 : 0,
  add: add ? 1 : 0,
});

/** In the order of the bindings of linear-bindings.wgsl. x: of the product, in the order that the kernel reads */
export const buffersOf = (
  part: GpuWeight["chunks"][number],
  { bias, out }: Product,
  x: GpuBuffer,
): readonly GpuBuffer[] => [part.words, part.scales, x, bias ? bias.buffer : part.scales, out];
