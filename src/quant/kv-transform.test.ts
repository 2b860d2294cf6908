import { assert, describe, expect, it } from "vitest";
import { prepared, randomCalibration } from "../../test/support/calibration.ts";
import { gaussianVector, innerProduct } from "../../test/support/vectors.ts";
import { cholesky, multiply, transpose } from "../math/matrix.ts";
import type { LayerCalibration } from "./calibration.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";
import { createRotation } from "./rotation.ts";
import { headCalibrations, RowCodec } from "./row-codec.ts";
import { VectorQuantizer } from "./vector-quantizer.ts";

const D = 64;
const formatOf = (spec: string) => parseKvSpec(spec).forLayer(0);

/** A = I and a metric that falls by `decades` from the first coordinate to the last. */
function falling(decades: number): LayerCalibration {
  const side = {
    transform: Float32Array.from({ length: D * D }, (_, at) => (at % (D + 1) === 0 ? 1 : 0)),
    metric: Float32Array.from({ length: D }, (_, i) => 10 ** (-decades * (i / D))),
  };
  return { keyMean: new Float32Array(D), balance: new Float32Array(D).fill(1), key: side, value: side };
}

/** Σ λ e² of 300 Gaussian vectors, each scaled to its own codes, back in the space of A; relative to Σ λ x². */
function metricError(calibration: LayerCalibration, spec: string, bits: number): number {
  const format = formatOf(spec);
  const feedback = prepared(calibration, format, D).transforms.v.feedback;
  const codec = new RowCodec(format.v, format, D);
  const constants = headCalibrations(prepared(calibration, format, D), "v")(0);
  assert(format.v.kind === "scalar");
  const quantizer = new VectorQuantizer(D, bits, format.v.scale, format.v.search);
  const { metric } = calibration.value!;
  let [error, total] = [0, 0];
  for (let n = 0; n < 300; n++) {
    const x = gaussianVector(D, n);
    const y = x.slice();
    codec.prepare(y, constants);
    const { scale } = quantizer.quantize(y, 0, feedback);
    const back = quantizer.centroids.map((c) => (scale * c) / Math.sqrt(D));
    codec.restore(back, constants);
    for (let i = 0; i < D; i++) {
      error += metric[i]! * (back[i]! - x[i]!) ** 2;
      total += metric[i]! * x[i]! ** 2;
    }
  }
  return error / total;
}

describe("kvTransforms", () => {
  it("queries and keys keep their inner products, outputs come back", () => {
    const calibration = randomCalibration(2, D);
    for (const spec of ["k4v4", "k2v3,rotation=qr", "k4v4,rotation=none", "k4v4,feedback=off"]) {
      const format = formatOf(spec);
      for (const head of [0, 1]) {
        const key = headCalibrations(prepared(calibration, format, D), "k")(head)!;
        const value = headCalibrations(prepared(calibration, format, D), "v")(head);
        const [q, k, v] = [gaussianVector(D, 1), gaussianVector(D, 2), gaussianVector(D, 3)];
        const expected = innerProduct(
          q,
          k.map((x, i) => x - key.mean![i]!),
        );
        const original = v.slice();
        const kCodec = new RowCodec(format.k, format, D);
        const vCodec = new RowCodec(format.v, format, D);
        kCodec.prepare(k, key);
        kCodec.prepareQuery(q, key);
        // f32 sums of 64 terms through a well-conditioned map.
        expect(Math.abs(innerProduct(q, k) - expected), spec).toBeLessThan(1e-3);
        vCodec.prepare(v, value);
        expect(Math.max(...v.map((x, i) => Math.abs(x - original[i]!)))).toBeGreaterThan(0.1);
        vCodec.restore(v, value);
        expect(Math.max(...v.map((x, i) => Math.abs(x - original[i]!))), spec).toBeLessThan(1e-4);
      }
    }
  });

  it("a flat metric asks for nothing: codes of the plain rounding", () => {
    const calibration = falling(0);
    const { feedback } = prepared(calibration, formatOf("k4v4"), D).transforms.v;
    const [plain, fed] = [0, 1].map(() => new VectorQuantizer(D, 4, "least-squares", true)) as [
      VectorQuantizer,
      VectorQuantizer,
    ];
    for (let n = 0; n < 20; n++) {
      const y = gaussianVector(D, n);
      plain.quantize(y);
      fed.quantize(y, 0, feedback);
      expect(fed.codes).toEqual(plain.codes);
    }
  });

  it("feedback brings the weighted error from the arithmetic towards the geometric mean of the metric", () => {
    // λ = 10^(−2 i/64): geometric over arithmetic mean = 0.1 · 64·(1 − 10^(−2/64)) / (1 − 10^−2) · … = 0.47
    const calibration = falling(2);
    const { metric } = calibration.value!;
    const arithmetic = metric.reduce((sum, x) => sum + x, 0) / D;
    const geometric = Math.exp(metric.reduce((sum, x) => sum + Math.log(x), 0) / D);
    for (const bits of [3, 4, 6]) {
      const plain = metricError(calibration, `k${bits}v${bits},feedback=off`, bits);
      const fed = metricError(calibration, `k${bits}v${bits}`, bits);
      // 300 vectors of 64: 2 % of standard error. The random rotation leaves D between the two means.
      expect(fed / plain, `${bits} bits`).toBeLessThan(0.85);
      expect(fed / plain, `${bits} bits`).toBeGreaterThan((0.9 * geometric) / arithmetic);
    }
  });

  it("feedback is that of the whole product Π·diag(λ)·Πᵀ, to the bit", () => {
    for (const [spec, d] of [
      ["k4v4", 64],
      ["k4v4", 40],
      ["k4v4,rotation=qr", 24],
    ] as const) {
      const calibration = randomCalibration(1, d);
      const format = formatOf(spec);
      const rotation = createRotation(format.rotation, d, format.seed);
      const pi = new Float64Array(d * d);
      for (let j = 0; j < d; j++) {
        const unit = new Float32Array(d);
        unit[j] = 1;
        rotation.apply(unit);
        unit.forEach((x, i) => {
          pi[i * d + j] = x;
        });
      }
      const diagonal = new Float64Array(d * d);
      calibration.key!.metric.forEach((x, i) => {
        diagonal[i * (d + 1)] = x;
      });
      const m = multiply(pi, transpose(multiply(pi, diagonal, d), d), d);
      const c = cholesky(m.toReversed(), d);
      const { feedback } = prepared(calibration, format, d).transforms.k;
      for (let j = 0; j < d; j++) {
        for (let i = j + 1; i < d; i++) {
          const [row, column] = [d - 1 - j, d - 1 - i];
          expect(feedback![j * d + i]).toBe(Math.fround(c[row * d + column]! / c[column * d + column]!));
        }
      }
    }
  });

  it("is the identity without a calibration, for float sides, sketches and presets that do not ask", () => {
    const calibration = randomCalibration(1, D);
    const nothing = { forward: null, inverse: null, feedback: null };
    expect(prepared(null, formatOf("k4v4"), D).transforms).toEqual({ k: nothing, v: nothing });
    for (const spec of ["f16", "paper-4", "paper-4+qjl,feedback=on", "q4_0r"]) {
      expect(prepared(calibration, formatOf(spec), D).transforms.k, spec).toEqual(nothing);
    }
    expect(prepared(calibration, formatOf("k4v4,transform=off"), D).transforms.k.forward).toBeNull();
    expect(prepared(calibration, formatOf("k4v4,feedback=off"), D).transforms.k.feedback).toBeNull();
  });
});
