/** @file Blocks that are packed for tests and peers: every type comes back as what was packed, as near as its codes allow. */
import { expect, it } from "vitest";
import { CounterRng } from "../src/math/rng.ts";
import { type WeightType, weightFormat } from "../src/weights/registry.ts";
import { rowBytes } from "../src/weights/weight-format.ts";
import { GGML_TYPES, packed } from "./support/ggml-blocks.ts";

/** Relative error of normal values, and somewhat more; without a search for scales, so more than ggml's own. */
const LIMITS: Readonly<Record<string, number>> = {
  ...{ f32: 0, f16: 3e-4, bf16: 2e-3, q8_0: 0.007, q6_k: 0.03, q5_0: 0.06, q5_1: 0.05, q5_k: 0.06 },
  ...{ q4_0: 0.12, q4_1: 0.1, q4_k: 0.12, iq4_nl: 0.11, iq4_xs: 0.12, mxfp4: 0.16, q3_k: 0.25, q2_k: 0.5 },
};

const COLS = 512;
const rng = new CounterRng(3, 0);
const values = Float32Array.from({ length: 4 * COLS }, (_, i) => rng.gaussian(i) * 0.02);

it.each(Object.keys(GGML_TYPES))("%s", (name) => {
  const format = weightFormat(name as WeightType);
  const bytes = packed(name, values, COLS);
  expect(bytes.length).toBe(4 * rowBytes(format, COLS));
  const out = new Float32Array(values.length);
  format.dequantize(bytes, 4, COLS, out);
  const error = out.reduce((sum, value, i) => sum + (value - values[i]!) ** 2, 0);
  const own = values.reduce((sum, value) => sum + value ** 2, 0);
  expect(Math.sqrt(error / own)).toBeLessThanOrEqual(LIMITS[name]!);
});
