/** @file What a row's experts compute, row by row. */
import { type ExpertHeads, type Experts, hiddenOf } from "../experts.ts";

interface ExpertValues {
  readonly gateUp: Float32Array;
  readonly gateUpBias: Float32Array | null;
  readonly act: (gate: number, up: number) => number;
  readonly down: Float32Array;
  readonly downBias: Float32Array | null;
}

/** See `Ops.experts`. */
export function mixExperts(
  experts: Experts,
  { gateUp, gateUpBias, act, down, downBias }: ExpertValues,
  x: Float32Array,
  routes: Float32Array,
  rows: number,
  out: Float32Array,
  add: boolean,
): void {
  const { topK, width, scalesInput, activation, numExperts } = experts;
  const { cols } = experts.gateUp;
  const outputs = experts.down.rows / numExperts;
  const height = hiddenOf(experts);
  const hidden = new Float64Array(height);
  const activated = new Float64Array(width);
  const sums = new Float64Array(outputs);
  for (let r = 0; r < rows; r++) {
    sums.fill(0);
    for (let k = 0; k < topK; k++) {
      const expert = routes[r * 2 * topK + k]!;
      const weight = routes[r * 2 * topK + topK + k]!;
      if (experts.hasIdentities && expert >= numExperts) {
        for (let o = 0; o < outputs; o++) sums[o] = sums[o]! + weight * x[r * cols + o]!;
        continue;
      }
      for (let i = 0; i < height; i++) {
        const row = expert * height + i;
        const sum = dot(gateUp, row * cols, x, r * cols, cols);
        hidden[i] = (scalesInput ? weight * sum : sum) + (gateUpBias ? gateUpBias[row]! : 0);
      }
      for (let i = 0; i < width; i++) activated[i] = act(hidden[i]!, activation.isGated ? hidden[width + i]! : 1);
      for (let o = 0; o < outputs; o++) {
        const row = expert * outputs + o;
        const value = dot(down, row * width, activated, 0, width) + (downBias ? downBias[row]! : 0);
        sums[o] = sums[o]! + (scalesInput ? value : weight * value);
      }
    }
    for (let o = 0; o < outputs; o++) {
      const at = r * outputs + o;
      out[at] = add ? out[at]! + sums[o]! : sums[o]!;
    }
  }
}

/** See `Ops.multiplyExperts`. */
export function multiplyExperts(
  { numExperts, topK, weight, headDim, columns, gathers }: ExpertHeads,
  { matrix, bias }: { readonly matrix: Float32Array; readonly bias: Float32Array | null },
  x: Float32Array,
  routes: Float32Array,
  rows: number,
  out: Float32Array,
  add: boolean,
): void {
  const { cols } = weight;
  const outputs = weight.rows / numExperts;
  /** Where value i of the heads of a row's k-th expert is. */
  const place = (row: number, k: number, i: number): number =>
    row * columns.stride + columns.first + (Math.floor(i / headDim) * topK + k) * headDim + (i % headDim);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let k = 0; k < topK; k++) {
        const row = routes[r * 2 * topK + k]! * outputs + o;
        let value = bias ? bias[row]! : 0;
        for (let i = 0; i < cols; i++) value += matrix[row * cols + i]! * x[gathers ? place(r, k, i) : r * cols + i]!;
        if (gathers) sum += routes[r * 2 * topK + topK + k]! * value;
        else out[place(r, k, o)] = value;
      }
      if (gathers) out[r * outputs + o] = add ? out[r * outputs + o]! + sum : sum;
    }
  }
}

function dot(w: Float32Array, from: number, x: Float32Array | Float64Array, at: number, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += w[from + i]! * x[at + i]!;
  return sum;
}
