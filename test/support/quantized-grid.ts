/** @file A small matrix of codes, zeros and scales for tests of quantized checkpoints, and what is read back of one. */
import { expect } from "vitest";
import { toFloat16Bits } from "../../src/math/float16.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { weightFormat } from "../../src/weights/registry.ts";
import { openQuantized, type Tensors } from "./quantized-file.ts";

export const [ROWS, COLS, GROUP] = [8, 64, 32];
export const GROUPS = COLS / GROUP;
const rng = new CounterRng(11, 0);
export const draw = (below: number, i: number): number => Math.floor(rng.uniform(i) * below);
/** Powers of two, which every float holds, so that a value is right to the bit or wrong. */
export const scale = (r: number, g: number): number => 2 ** (draw(6, 7000 + r * GROUPS + g) - 8);
export const code = (bits: number) => (r: number, c: number) => draw(2 ** bits, r * COLS + c);
export const zero = (bits: number) => (r: number, g: number) => (r === 1 ? 0 : draw(2 ** bits, 5000 + r * GROUPS + g));
export const grid = (value: (r: number, c: number) => number): Float32Array =>
  Float32Array.from({ length: ROWS * COLS }, (_, i) => value(Math.floor(i / COLS), i % COLS));
export const groupOf = (c: number): number => Math.floor(c / GROUP);
export const affine = (bits: number, zeroOf = zero(bits)) =>
  grid((r, c) => scale(r, groupOf(c)) * (code(bits)(r, c) - zeroOf(r, groupOf(c))));
export const byRow = <T>(value: (r: number, g: number) => T): T[] =>
  Array.from({ length: ROWS * GROUPS }, (_, i) => value(Math.floor(i / GROUPS), i % GROUPS));
export const byGroup = (value: (r: number, g: number) => number): number[] =>
  Array.from({ length: ROWS * GROUPS }, (_, i) => value(i % ROWS, Math.floor(i / ROWS)));
export const halves = (values: readonly number[]): Uint16Array => Uint16Array.from(values, toFloat16Bits);

/** Opens a checkpoint with these tensors and reads the values of its first weight. */
export async function readQuantized(config: object, tensors: Tensors, files?: Record<string, object>) {
  const checkpoint = await openQuantized(config, tensors, files);
  const [info] = [...(await checkpoint.tensors()).values()];
  const bytes = await checkpoint.read(info!.name);
  expect(bytes.length).toBe(info!.numBytes);
  const [cols, rows] = [info!.shape.at(-1)!, info!.shape.slice(0, -1).reduce((a, b) => a * b, 1)];
  const out = new Float32Array(rows * cols);
  weightFormat(info!.dtype).dequantize(bytes, rows, cols, out);
  return { name: info!.name, dtype: info!.dtype, shape: info!.shape, out };
}

/** Values that are rounded to 8 bits in groups of 32: to half a step. */
export function expectNear(out: Float32Array, expected: Float32Array): void {
  for (let start = 0; start < expected.length; start += 32) {
    const own = expected.subarray(start, start + 32);
    const step = own.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0) / 127;
    for (const [i, value] of own.entries())
      expect(Math.abs(out[start + i]! - value)).toBeLessThanOrEqual(0.5001 * step + 1e-12);
  }
}
