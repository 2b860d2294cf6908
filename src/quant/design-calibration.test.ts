import { assert, describe, expect, it } from "vitest";
import { prepared } from "../../test/support/calibration.ts";
import { CounterRng } from "../math/rng.ts";
import { designLayer } from "./design-calibration.ts";
import { LayerMoments } from "./layer-moments.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";
import { headCalibrations, RowCodec } from "./row-codec.ts";
import { VectorQuantizer } from "./vector-quantizer.ts";

const D = 32;
const TOKENS = 3000;
const SHAPE = { numHeads: 2, numKvHeads: 1, headDim: D, valueDim: D };
const rng = new CounterRng(9, 2);
let drawn = 0;

/** Rows of a fixed random mixture: coordinate i of the sources has standard deviation 4^(−i/8), and 1 is added to keys. */
function correlated(rows: number, shift = 0): Float32Array {
  const mix = Float64Array.from({ length: D * D }, (_, i) => new CounterRng(4, 4 + shift).gaussian(i) / Math.sqrt(D));
  const out = new Float32Array(rows * D);
  for (let r = 0; r < rows; r++) {
    const source = Array.from({ length: D }, (_, i) => rng.gaussian(drawn++) * 4 ** (-i / 8));
    for (let i = 0; i < D; i++) {
      out[r * D + i] = shift + source.reduce((sum, x, j) => sum + mix[i * D + j]! * x, 0);
    }
  }
  return out;
}

const queries = correlated(TOKENS * 2, 2);
const keys = correlated(TOKENS, 1);
const values = correlated(TOKENS);
const output = correlated(100 * 2, 2);

/** Mean (q·(k̂ − k + mean))² over 400 pairs at 4 bits. */
function logitNoise(spec: string, calibration: ReturnType<typeof designed>["calibration"] | null): number {
  const format = parseKvSpec(spec).forLayer(0);
  const codec = new RowCodec(format.k, format, D);
  const constants = headCalibrations(prepared(calibration, format, D), "k")(0);
  assert(format.k.kind === "scalar");
  const quantizer = new VectorQuantizer(D, 4, format.k.scale, format.k.search);
  const feedback = prepared(calibration, format, D).transforms.k.feedback;
  let sum = 0;
  for (let n = 0; n < 400; n++) {
    const k = keys.slice((n + 9) * D, (n + 10) * D);
    const q = queries.slice(n * 7 * D, (n * 7 + 1) * D);
    codec.prepare(k, constants);
    codec.prepareQuery(q, constants);
    const { scale } = quantizer.quantize(k, 0, feedback);
    let error = 0;
    for (let i = 0; i < D; i++) error += q[i]! * ((scale * quantizer.centroids[i]!) / Math.sqrt(D) - k[i]!);
    sum += error ** 2;
  }
  return sum / 400;
}

function designed() {
  const moments = new LayerMoments(SHAPE);
  moments.add({ queries, keys, values }, 0, null);
  return designLayer(moments, output, null);
}

describe("designLayer", () => {
  const { calibration, predicted } = designed();

  it("finds the mean of keys without the first four tokens", () => {
    for (let i = 0; i < D; i++) {
      let sum = 0;
      for (let t = 4; t < TOKENS; t++) sum += keys[t * D + i]!;
      expect(calibration.keyMean[i]).toBeCloseTo(sum / (TOKENS - 4), 5);
    }
  });

  it("balances are positive and tied in RoPE pairs", () => {
    expect(calibration.balance.every((r) => r > 0)).toBe(true);
    for (let i = 0; i < D / 2; i++) expect(calibration.balance[i]).toBe(calibration.balance[i + D / 2]);
  });

  it("a transform makes the metric the diagonal it names", () => {
    const { transform, metric } = calibration.key!;
    // aᵀ·diag(λ)·a is the metric of plain keys, whose quadratic form is E(q·x)² up to scale and shrinkage.
    const form = (x: Float32Array): number => {
      let sum = 0;
      for (let i = 0; i < D; i++) {
        let y = 0;
        for (let j = 0; j < D; j++) y += transform[i * D + j]! * x[j]!;
        sum += metric[i]! * y * y;
      }
      return sum;
    };
    const seen = (x: Float32Array): number => {
      let sum = 0;
      for (let r = 0; r < TOKENS * 2; r++) {
        let y = 0;
        for (let j = 0; j < D; j++) y += queries[r * D + j]! * x[j]!;
        sum += y * y;
      }
      return sum;
    };
    const unit = (i: number): Float32Array => Float32Array.from({ length: D }, (_, j) => (i === j ? 1 : 0));
    const ratios = Array.from({ length: D }, (_, i) => form(unit(i)) / seen(unit(i)));
    // 5 % of shrinkage, on coordinates whose energies differ little.
    expect(Math.max(...ratios) / Math.min(...ratios)).toBeLessThan(1.2);
  });

  it("promises a gain, and 4 bits keep most of it: the noise of logits falls as said", () => {
    expect(predicted[0]!.key).toBeLessThan(0.5);
    expect(predicted[0]!.value).toBeLessThan(0.5);
    const plain = logitNoise("k4v4", null);
    const without = logitNoise("k4v4,transform=off,feedback=off", calibration);
    const shaped = logitNoise("k4v4", calibration);
    // 400 squares: 7 % of standard error.
    expect(shaped / plain).toBeLessThan(Math.max(0.5, 1.6 * predicted[0]!.key));
    expect(shaped).toBeLessThan(0.7 * without);
  });
});
