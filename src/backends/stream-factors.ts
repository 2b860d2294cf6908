/** @file Factors of residual streams in plain TypeScript, which defines them and is what backends on the CPU run. */
import { MAX_STREAMS, type StreamFactors } from "./stream-mix.ts";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Kept between rows, so that decoding allocates nothing. */
const matrix = new Float64Array(MAX_STREAMS ** 2);

/** See `Ops.streamFactors`. scale, bias: values of the weights */
export function streamFactors(
  factors: Float32Array,
  { streams: n, epsilon, iterations }: Pick<StreamFactors, "streams" | "epsilon" | "iterations">,
  scale: Float32Array,
  bias: Float32Array,
  rows: number,
): void {
  const width = bias.length;
  for (let at = 0; at < rows * width; at += width) {
    const logit = (i: number, part: number): number => factors[at + i]! * scale[part]! + bias[i]!;
    for (let i = 0; i < n; i++) factors[at + i] = sigmoid(logit(i, 0)) + epsilon;
    if (width === n) continue;
    for (let i = n; i < 2 * n; i++) factors[at + i] = 2 * sigmoid(logit(i, 1));
    for (let row = 0; row < n; row++) {
      let most = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < n; i++) most = Math.max(most, logit((2 + row) * n + i, 2));
      let sum = 0;
      for (let i = 0; i < n; i++) {
        const weight = Math.exp(logit((2 + row) * n + i, 2) - most);
        matrix[row * n + i] = weight;
        sum += weight;
      }
      for (let i = 0; i < n; i++) matrix[row * n + i] = matrix[row * n + i]! / sum + epsilon;
    }
    divideBySums(n, epsilon, 1, n);
    for (let iteration = 1; iteration < iterations; iteration++) {
      divideBySums(n, epsilon, n, 1);
      divideBySums(n, epsilon, 1, n);
    }
    for (let row = 0; row < n; row++)
      for (let i = 0; i < n; i++) factors[at + (2 + i) * n + row] = matrix[row * n + i]!;
  }
}

/** Divides the lines of the matrix by their sums. from: values from a line to the next, and between those of a line */
function divideBySums(n: number, epsilon: number, from: number, between: number): void {
  for (let line = 0; line < n; line++) {
    let sum = epsilon;
    for (let i = 0; i < n; i++) sum += matrix[line * from + i * between]!;
    for (let i = 0; i < n; i++) matrix[line * from + i * between] = matrix[line * from + i * between]! / sum;
  }
}
