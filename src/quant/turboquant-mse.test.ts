import { describe, expect, it } from "vitest";
import { gaussianVector, innerProduct, meanAndError, squaredDistance, unitVector } from "../../test/support/vectors.ts";
import type { Bits, RotationKind } from "./kv-format.ts";
import { TurboQuantMse, type TurboQuantMseOptions } from "./turboquant-mse.ts";

const BITS = [1, 2, 3, 4, 5, 6, 7, 8] as const;

const directions = new Map<number, Float32Array[]>();

/** n random directions, the same ones every time. */
function unitVectors(dimension: number, n: number): Float32Array[] {
  const known = directions.get(dimension) ?? [];
  directions.set(dimension, known);
  while (known.length < n) known.push(unitVector(dimension, known.length));
  return known.slice(0, n);
}

/** ‖x − x̂‖² over n random directions. */
function sampleDistortion(options: TurboQuantMseOptions, n: number): { mean: number; error: number } {
  const codec = new TurboQuantMse(options);
  const errors = unitVectors(options.dimension, n).map((x) => squaredDistance(x, codec.dequantize(codec.quantize(x))));
  return meanAndError(errors);
}

describe("TurboQuantMse", () => {
  it("has the exact distortion at every width: n = 1,500 directions, 99.99 % interval", () => {
    for (const [dimension, rotation] of [
      [128, "hadamard"],
      [128, "qr"],
      [64, "hadamard"],
      [80, "hadamard"],
    ] as const) {
      for (const bits of BITS) {
        const n = dimension === 128 ? 1500 : 800;
        const { mean, error } = sampleDistortion({ dimension, bits, rotation }, n);
        const { distortion } = new TurboQuantMse({ dimension, bits });
        // f16 rounding of the norm adds at most 2^-22 (half an ulp, squared) to the error of a unit vector.
        const deviation = Math.abs(mean - distortion);
        expect(deviation, `${rotation} d=${dimension} b=${bits}`).toBeLessThan(3.9 * error + 2 ** -22);
        // The sample is large enough to tell widths apart, a factor of 4; errors of wide codes have heavy tails (few coordinates beyond the last centroid).
        expect(3.9 * error).toBeLessThan((bits <= 4 ? 0.08 : 0.35) * distortion);
      }
    }
  });

  it("keeps it for vectors along one axis, which only a rotation spreads", () => {
    for (const rotation of ["hadamard", "qr"] as const) {
      const codec = new TurboQuantMse({ dimension: 128, bits: 4, rotation, seed: 3 });
      const errors = Array.from({ length: 128 }, (_, i) => {
        const x = new Float32Array(128);
        x[i] = 5;
        return squaredDistance(x, codec.dequantize(codec.quantize(x))) / 25;
      });
      // Hadamard images have equal magnitudes, whose error is that of one point of the grid, below the average at 4 bits;
      // without a rotation the spike would be cut to the largest centroid: 0.53.
      expect(meanAndError(errors).mean).toBeLessThan(0.0125);
    }
    const plain = new TurboQuantMse({ dimension: 128, bits: 4, rotation: "none" });
    const spike = new Float32Array(128);
    spike[0] = 1;
    expect(squaredDistance(spike, plain.dequantize(plain.quantize(spike)))).toBeGreaterThan(0.5);
  });

  it("scale rules: norm shrinks inner products by 1 − D, norm-preserving keeps lengths, least-squares has least error", () => {
    const n = 600;
    const results = (["norm", "norm-preserving", "least-squares"] as const).map((scale) => {
      const codec = new TurboQuantMse({ dimension: 128, bits: 2, scale });
      const rows = Array.from({ length: n }, (_, i) => {
        const x = unitVector(128, i);
        const y = codec.dequantize(codec.quantize(x));
        return {
          length: Math.hypot(...y),
          along: innerProduct(x, y),
          error: squaredDistance(x, y),
          cross: innerProduct(y, y),
        };
      });
      return { scale, rows };
    });
    const [norm, preserving, squares] = results;
    const { distortion } = new TurboQuantMse({ dimension: 128, bits: 2 });
    const along = meanAndError(norm!.rows.map((r) => r.along));
    expect(Math.abs(along.mean - (1 - distortion))).toBeLessThan(3.9 * along.error);
    for (let i = 0; i < n; i++) {
      // f16 scale: relative error at most 2^-11.
      expect(Math.abs(preserving!.rows[i]!.length - 1)).toBeLessThan(2 ** -11 + 1e-5);
      const best = squares!.rows[i]!;
      // Least squares makes the error orthogonal to x̂, and no other scale does better on the same codes.
      expect(Math.abs(best.along - best.cross)).toBeLessThan(2 ** -10);
      expect(best.error).toBeLessThan(norm!.rows[i]!.error + 2 ** -20);
      expect(best.error).toBeLessThan(preserving!.rows[i]!.error + 2 ** -20);
    }
  });

  it("scale search lowers the error by about 1, 5, 14 and 20 % at 2 to 5 bits: n = 500, same vectors", () => {
    // The research note's simulation, ± 3 points: nine factors, cosine as the criterion, least-squares scale on both sides.
    const expected = { 2: 1, 3: 5, 4: 14, 5: 20 } as const;
    for (const [bits, percent] of Object.entries(expected)) {
      const options = { dimension: 128, bits: Number(bits) as Bits, scale: "least-squares" } as const;
      const off = sampleDistortion(options, 500).mean;
      const on = sampleDistortion({ ...options, search: true }, 500).mean;
      expect(Math.abs(100 * (1 - on / off) - percent), `${bits} bits: ${100 * (1 - on / off)} %`).toBeLessThan(3);
    }
  });

  it("search never points farther from the vector than no search does", () => {
    const cosine = (search: boolean, i: number): number => {
      const codec = new TurboQuantMse({ dimension: 64, bits: 3, scale: "norm-preserving", search });
      const x = unitVector(64, i);
      const y = codec.dequantize(codec.quantize(x));
      return innerProduct(x, y) / Math.hypot(...y);
    };
    // Factor 1 is not among the nine, so single vectors may lose a little; most gain.
    const gains = Array.from({ length: 200 }, (_, i) => cosine(true, i) - cosine(false, i));
    expect(gains.filter((g) => g > -1e-6).length).toBeGreaterThan(180);
    expect(Math.min(...gains)).toBeGreaterThan(-2e-3);
  });

  it("is linear in the norm and free of it: codes do not change when a vector is scaled by a power of two", () => {
    const codec = new TurboQuantMse({ dimension: 128, bits: 4, search: true, scale: "least-squares" });
    const x = gaussianVector(128, 0);
    const a = codec.quantize(x);
    const b = codec.quantize(x.map((v) => v * 32));
    expect(b.codes).toEqual(a.codes);
    expect(b.scale).toBe(32 * a.scale);
  });

  it("innerProduct is that of the reconstruction; the input is left alone", () => {
    for (const rotation of ["hadamard", "qr", "none"] as const satisfies readonly RotationKind[]) {
      const codec = new TurboQuantMse({ dimension: 96, bits: 5, rotation, seed: 9 });
      const x = gaussianVector(96, 1);
      const q = gaussianVector(96, 2);
      const copies = [x.slice(), q.slice()];
      const code = codec.quantize(x);
      // f32 rotations of vectors of length 10: about 1e-5 of 100.
      expect(Math.abs(codec.innerProduct(q, code) - innerProduct(q, codec.dequantize(code)))).toBeLessThan(2e-4);
      expect([x, q]).toEqual(copies);
    }
  });

  it("stores bits·d/8 + 2 bytes, zeros as zeros, and survives what is not finite", () => {
    const codec = new TurboQuantMse({ dimension: 64, bits: 3 });
    expect(codec.numBytes).toBe(26);
    const code = codec.quantize(gaussianVector(64, 4));
    expect(code.codes.length + 2).toBe(codec.numBytes);
    const zero = codec.quantize(new Float32Array(64));
    expect(zero.scale).toBe(0);
    expect(codec.dequantize(zero).every((v) => v === 0)).toBe(true);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1e30]) {
      const y = codec.dequantize(codec.quantize(gaussianVector(64, 5).fill(bad, 3, 4)));
      expect(y.every(Number.isFinite)).toBe(true);
    }
  });

  it("refuses shapes that do not fit and names them", () => {
    const invalid = expect.objectContaining({ code: "invalid_argument" });
    for (const dimension of [0, 4, 12, 100.5])
      expect(() => new TurboQuantMse({ dimension, bits: 4 })).toThrowError(invalid);
    expect(() => new TurboQuantMse({ dimension: 64, bits: 9 as Bits })).toThrowError(invalid);
    const codec = new TurboQuantMse({ dimension: 64, bits: 4 });
    expect(() => codec.quantize(new Float32Array(63))).toThrowError(/expected 64 entries, got 63/);
    expect(() => codec.innerProduct(new Float32Array(65), codec.quantize(new Float32Array(64)))).toThrowError(invalid);
    expect(() => codec.dequantize({ codes: new Uint8Array(31), scale: 1 })).toThrowError(invalid);
  });
});
