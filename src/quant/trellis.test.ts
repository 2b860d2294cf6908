import { describe, expect, it } from "vitest";
import { gaussianVector, meanAndError, squaredDistance, unitVector } from "../../test/support/vectors.ts";
import { getCodebook } from "./codebook.ts";
import { TRELLIS_DISTORTION, TRELLIS_RUN, TRELLIS_VALUES, TrellisCoder, trellisPlaces } from "./trellis.ts";
import { TurboQuantMse } from "./turboquant-mse.ts";

const D = 8;

/** Codes of one run and the values they stand for. */
function coded(u: Float32Array, feedback: Float32Array | null): { codes: Uint8Array; values: Float32Array } {
  const codes = new Uint8Array(u.length);
  new TrellisCoder(u.length).codeRun(u, u, feedback, 0, codes);
  return { codes, values: valuesOf(codes) };
}

function valuesOf(codes: Uint8Array): Float32Array {
  const places = codes.slice();
  trellisPlaces(places);
  return Float32Array.from(places, (place) => TRELLIS_VALUES[place]!);
}

/** Σ D_i (e_i + Σ_{j<i} F_ji e_j)², what error feedback is about. */
function costOf(u: Float32Array, values: Float32Array, feedback: Float32Array): number {
  let cost = 0;
  for (let i = 0; i < D; i++) {
    let sum = values[i]! - u[i]!;
    for (let j = 0; j < i; j++) sum += feedback[j * D + i]! * (values[j]! - u[j]!);
    cost += feedback[D * D + i]! * sum ** 2;
  }
  return cost;
}

const allCodes = (at: number): Uint8Array => Uint8Array.from({ length: D }, (_, i) => (at >> (2 * i)) & 3);

function someFeedback(strength: number, seed: number): Float32Array {
  const random = gaussianVector(D * D + D, seed);
  return random.map((x, at) => {
    const [j, i] = [Math.floor(at / D), at % D];
    return j === D ? 0.5 + x * x : i > j ? strength * x : 0;
  });
}

describe("the trellis", () => {
  it("begins a chain every 32 coordinates", () => {
    const codes = new Uint8Array(2 * TRELLIS_RUN + 8).fill(3);
    trellisPlaces(codes);
    codes.forEach((place, i) => {
      expect(place).toBe(i % TRELLIS_RUN === 0 ? 12 : 15);
    });
  });

  it("finds the nearest of all 65,536 chains of eight coordinates", () => {
    for (let n = 0; n < 4; n++) {
      const u = gaussianVector(D, n);
      let least = Number.POSITIVE_INFINITY;
      for (let at = 0; at < 4 ** D; at++) least = Math.min(least, squaredDistance(u, valuesOf(allCodes(at))));
      expect(squaredDistance(u, coded(u, null).values)).toBeCloseTo(least, 5);
    }
  });

  it("with error feedback comes closer in its metric than chains that do not look at it, near the best of all", () => {
    let [found, blind, best] = [0, 0, 0];
    for (let n = 0; n < 6; n++) {
      const u = gaussianVector(D, 10 + n);
      const feedback = someFeedback(0.4, n);
      let least = Number.POSITIVE_INFINITY;
      for (let at = 0; at < 4 ** D; at++) least = Math.min(least, costOf(u, valuesOf(allCodes(at)), feedback));
      best += least;
      found += costOf(u, coded(u, feedback).values, feedback);
      blind += costOf(u, coded(u, null).values, feedback);
    }
    expect(found).toBeLessThan(0.8 * blind);
    // A survivor is dropped for another that costs less so far, which need not stay so.
    expect(found).toBeGreaterThanOrEqual(best * (1 - 1e-6));
    expect(found).toBeLessThan(1.6 * best);
  });

  it("loses 0.0942 of a rotated vector, 80 % of what four levels lose: n = 1500", () => {
    const codec = new TurboQuantMse({ dimension: 128, bits: 2, trellis: true });
    const sample = Array.from({ length: 1500 }, (_, i) => {
      const x = unitVector(128, i);
      return squaredDistance(x, codec.dequantize(codec.quantize(x)));
    });
    const { mean, error } = meanAndError(sample);
    expect(codec.distortion).toBe(TRELLIS_DISTORTION);
    expect(Math.abs(mean - TRELLIS_DISTORTION)).toBeLessThan(4 * error + 0.0005);
    expect(TRELLIS_DISTORTION / getCodebook(128, 2).distortion).toBeCloseTo(0.81, 2);
  });

  it("has codes for whatever comes: zeros, one spike, feedback beyond all bounds", () => {
    const spike = new Float32Array(D);
    spike[3] = Math.sqrt(D);
    for (const u of [new Float32Array(D), spike]) {
      for (const strength of [0, 1, 1e30]) {
        const { codes, values } = coded(u, someFeedback(strength, 3));
        expect(codes.every((code) => code < 4)).toBe(true);
        expect(values.every(Number.isFinite)).toBe(true);
      }
    }
    expect(() => new TurboQuantMse({ dimension: 64, bits: 3, trellis: true })).toThrowError(/a trellis has 2 bits/);
  });
});
