/** @file Test helpers: floats in and out of a backend, and matrix arithmetic in f64 to compare with. */
import type { Buf, Ops, Step, Weight, WeightPart, WeightType } from "../../src/backends/ops.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { weightTypes } from "../../src/weights/registry.ts";

/** Standard normal values, the same for the same seed. */
export function gaussians(seed: number, length: number, scale = 1): Float32Array {
  const rng = new CounterRng(seed, 1);
  return Float32Array.from({ length }, (_, i) => scale * rng.gaussian(i));
}

export function partOf(data: Float32Array, cols: number): WeightPart {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { dtype: "f32", rows: data.length / cols, cols, data: bytes };
}

export function stepOf(tokens: readonly number[], logitRows: readonly number[] = []): Step {
  const ids = Int32Array.from(tokens);
  return { tokens: ids, positions: ids, spans: [], logitRows: Int32Array.from(logitRows) };
}

/** `Ops.embed` of tokens that belong to no sequence. */
export function embedTokens(ops: Ops, tokens: readonly number[], table: Weight, out: Buf, scale?: number): void {
  const step = stepOf(tokens);
  ops.beginStep(step, []);
  ops.embed(step, table, out, scale);
}

/** A buffer with these values, put there as an embedding of all rows of a table. */
export function upload(ops: Ops, values: Float32Array): Buf {
  const table = ops.loadWeight([partOf(values, values.length)], "f32");
  const out = ops.alloc(values.length);
  embedTokens(ops, [0], table, out);
  ops.freeWeight(table);
  return out;
}

export function download(ops: Ops, buf: Buf): Promise<Float32Array> {
  return ops.readback(buf, buf.length);
}

/** What the backend really keeps of a matrix: its rows as embeddings. [rows][cols] */
export async function stored(ops: Ops, weight: Weight): Promise<Float32Array> {
  const out = ops.alloc(weight.rows * weight.cols);
  embedTokens(
    ops,
    Array.from({ length: weight.rows }, (_, i) => i),
    weight,
    out,
  );
  const values = await download(ops, out);
  ops.free(out);
  return values;
}

/** x · wᵀ in f64. x: [rows][cols] · w: [n][cols] · returns [rows][n] */
export function matmul(x: Float32Array, w: Float32Array, cols: number): Float64Array {
  const rows = x.length / cols;
  const n = w.length / cols;
  const out = new Float64Array(rows * n);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < n; o++) {
      let sum = 0;
      for (let i = 0; i < cols; i++) sum += x[r * cols + i]! * w[o * cols + i]!;
      out[r * n + o] = sum;
    }
  }
  return out;
}

/** ‖actual − expected‖ / ‖expected‖; NaN anywhere gives NaN. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let error = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(error / size);
}

export const WEIGHT_TYPES: readonly WeightType[] = weightTypes();
