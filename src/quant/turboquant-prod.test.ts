import { describe, expect, it } from "vitest";
import { innerProduct, meanAndError, squaredDistance, unitVector } from "../../test/support/vectors.ts";
import { getCodebook } from "./codebook.ts";
import { type Projection, projectionMatrix, sketchFactor } from "./qjl.ts";
import { TurboQuantMse } from "./turboquant-mse.ts";
import { TurboQuantProd } from "./turboquant-prod.ts";

const PROJECTIONS = ["gaussian", "orthogonal"] as const;

describe("sketchFactor", () => {
  it("tends to √(π/2/d) for orthogonal projections, and is exact for small d", () => {
    expect(sketchFactor("gaussian", 128)).toBeCloseTo(Math.sqrt(Math.PI / 2) / 128, 15);
    // d = 2: E|cos φ| = 2/π. d = 3: the coordinate is uniform, E = 1/2.
    expect(sketchFactor("orthogonal", 2)).toBeCloseTo(Math.PI / 4, 14);
    expect(sketchFactor("orthogonal", 3)).toBeCloseTo(2 / 3, 14);
    expect(sketchFactor("orthogonal", 4096) / Math.sqrt(Math.PI / 2 / 4096)).toBeCloseTo(1, 3);
  });
});

describe("projectionMatrix", () => {
  it("is normal or orthogonal, reproducible, and not the rotation's", () => {
    const gaussian = projectionMatrix("gaussian", 64, 5);
    const { mean, error } = meanAndError(Array.from(gaussian, (v) => v * v));
    expect(Math.abs(mean - 1)).toBeLessThan(4 * error);
    expect(projectionMatrix("gaussian", 64, 5)).toBe(gaussian);
    const orthogonal = projectionMatrix("orthogonal", 64, 5);
    for (let i = 0; i < 64; i++) {
      const row = orthogonal.subarray(i * 64, (i + 1) * 64);
      expect(innerProduct(row, row)).toBeCloseTo(1, 6);
      if (i > 0) expect(innerProduct(row, orthogonal.subarray(0, 64))).toBeCloseTo(0, 6);
    }
  });
});

/**
 * Errors of ⟨q, x⟩ for one pair under `n` independent seeds: rotation and projection are what is random. Small d, so that
 * drawing thousands of matrices stays quick.
 */
function errorsOverSeeds(projection: Projection, bits: 2 | 3, n: number): number[] {
  const d = 16;
  const x = unitVector(d, 1);
  // A query half along x: bias towards 0 would show.
  const other = unitVector(d, 2);
  const q = x.map((v, i) => 0.8 * v + 0.6 * other[i]!);
  const truth = innerProduct(q, x);
  return Array.from({ length: n }, (_, seed) => {
    const codec = new TurboQuantProd({ dimension: d, bits, projection, seed: seed + 1 });
    return codec.innerProduct(q, codec.quantize(x)) - truth;
  });
}

describe("TurboQuantProd", () => {
  for (const projection of PROJECTIONS) {
    it(`${projection}: unbiased over seeds; n = 3,000, d = 16, 99.99 % interval; the codes alone are not`, () => {
      for (const bits of [2, 3] as const) {
        const { mean, error } = meanAndError(errorsOverSeeds(projection, bits, 3000));
        expect(Math.abs(mean), `b=${bits}: ${mean} ± ${error}`).toBeLessThan(3.9 * error);
        // The sample would see a tenth of the bias of its first stage, −D(b − 1)·⟨q, x⟩ (at 2 bits).
        if (bits === 2) expect(3.9 * error).toBeLessThan(0.1 * getCodebook(16, 1).distortion);
      }
      const mse = Array.from({ length: 300 }, (_, seed) => {
        const codec = new TurboQuantMse({ dimension: 16, bits: 1, seed: seed + 1 });
        const x = unitVector(16, 1);
        return codec.innerProduct(x, codec.quantize(x)) - 1;
      });
      expect(meanAndError(mse).mean).toBeLessThan(-0.3);
    });
  }

  it("has variance (π/2)·D(b − 1)/d with Gaussian, (π/2 − 1)·D(b − 1)/d with orthogonal projections: n = 480, 8 seeds", () => {
    const d = 128;
    for (const projection of PROJECTIONS) {
      // For a query of random direction the squared error of ⟨q, x⟩ is ‖x̂ − x‖²/d: no need to sample queries.
      // Exact for finite d: π/2 − 1/d, and (d·factor²) − 1 where factor is that of the sketch.
      const constant = projection === "gaussian" ? Math.PI / 2 - 1 / d : d * sketchFactor(projection, d) ** 2 - 1;
      expect(Math.abs(constant - (projection === "gaussian" ? Math.PI / 2 : Math.PI / 2 - 1))).toBeLessThan(0.01);
      for (const bits of [2, 3, 4, 5] as const) {
        const codecs = Array.from(
          { length: 8 },
          (_, seed) => new TurboQuantProd({ dimension: d, bits, projection, seed }),
        );
        const squares = Array.from({ length: 480 }, (_, i) => {
          const codec = codecs[i % 8]!;
          const x = unitVector(d, i);
          return squaredDistance(x, codec.dequantize(codec.quantize(x))) / d;
        });
        const { mean, error } = meanAndError(squares);
        const expected = (constant * getCodebook(d, bits - 1).distortion) / d;
        const message = `${projection} b=${bits}: ${(mean / expected).toFixed(3)} of theory`;
        // Pairs that share a seed are not quite independent: 1 % more.
        expect(Math.abs(mean - expected), message).toBeLessThan(3.9 * error + 0.01 * expected);
        expect(3.9 * error).toBeLessThan(0.08 * expected);
      }
    }
  });

  it("m Gaussian projections leave (π·d/2 − 1)/m of the residual: m = 16 to 512, n = 400, 8 seeds", () => {
    const d = 64;
    for (const projections of [16, 64, 512]) {
      const codecs = Array.from(
        { length: 8 },
        (_, seed) => new TurboQuantProd({ dimension: d, bits: 3, projections, seed }),
      );
      expect(codecs[0]!.numBytes).toBe((2 * d + projections) / 8 + 4);
      const squares = Array.from({ length: 400 }, (_, i) => {
        const codec = codecs[i % 8]!;
        const x = unitVector(d, i);
        return squaredDistance(x, codec.dequantize(codec.quantize(x)));
      });
      const { mean, error } = meanAndError(squares);
      const expected = (((Math.PI * d) / 2 - 1) / projections) * getCodebook(d, 2).distortion;
      expect(Math.abs(mean - expected), `m=${projections}: ${mean / expected}`).toBeLessThan(
        4 * error + 0.02 * expected,
      );
      expect(4 * error).toBeLessThan(0.15 * expected);
    }
  });

  it("refuses projections that cannot be packed, or cannot be orthogonal", () => {
    const make = (options: object) => () => new TurboQuantProd({ dimension: 64, bits: 3, ...options });
    expect(make({ projections: 12 })).toThrow(/expected a multiple of 8 from 8 upwards, got 12/);
    expect(make({ projections: 72, projection: "orthogonal" })).toThrow(/from 8 to 64, got 72/);
  });

  it("is worse than TurboQuant_mse at equal bits: the reason why our recipe leaves it out", () => {
    const d = 128;
    const mse = new TurboQuantMse({ dimension: d, bits: 4 });
    for (const projection of PROJECTIONS) {
      const prod = new TurboQuantProd({ dimension: d, bits: 4, projection });
      const ratio = meanAndError(
        Array.from({ length: 600 }, (_, i) => {
          const x = unitVector(d, 2 * i);
          const q = unitVector(d, 2 * i + 1);
          return (prod.innerProduct(q, prod.quantize(x)) - innerProduct(q, x)) ** 2;
        }),
      ).mean;
      const base = mse.distortion / d;
      // 1.571·D(3)/D(4) = 5.7 and 0.571·D(3)/D(4) = 2.1.
      expect(ratio / base).toBeGreaterThan(projection === "gaussian" ? 4.5 : 1.7);
      expect(ratio / base).toBeLessThan(projection === "gaussian" ? 7 : 2.6);
    }
  });

  it("dequantize has the same inner products, and is farther from x than the codes alone", () => {
    for (const projection of PROJECTIONS) {
      const codec = new TurboQuantProd({ dimension: 80, bits: 3, projection, rotation: "qr" });
      const x = unitVector(80, 0);
      const code = codec.quantize(x);
      const y = codec.dequantize(code);
      for (let i = 1; i < 20; i++) {
        const q = unitVector(80, i);
        expect(Math.abs(codec.innerProduct(q, code) - innerProduct(q, y))).toBeLessThan(1e-5);
        expect(codec.innerProduct(codec.prepareQuery(q), code)).toBe(codec.innerProduct(q, code));
      }
      const alone = new TurboQuantMse({ dimension: 80, bits: 3, rotation: "qr" });
      expect(squaredDistance(x, y)).toBeGreaterThan(squaredDistance(x, alone.dequantize(alone.quantize(x))));
    }
  });

  it("stores bits·d/8 + 4 bytes, zeros as zeros, and refuses one bit", () => {
    const codec = new TurboQuantProd({ dimension: 64, bits: 4 });
    const code = codec.quantize(unitVector(64, 3));
    expect(code.codes.length + code.signs.length + 4).toBe(codec.numBytes);
    expect(codec.numBytes).toBe(36);
    expect(codec.dequantize(codec.quantize(new Float32Array(64))).every((v) => v === 0)).toBe(true);
    expect(codec.dequantize(codec.quantize(unitVector(64, 3).fill(Number.NaN, 0, 2))).every(Number.isFinite)).toBe(
      true,
    );
    expect(() => new TurboQuantProd({ dimension: 64, bits: 1 })).toThrowError(/expected 2 to 8 bits, got 1/);
    expect(() => codec.quantize(new Float32Array(8))).toThrowError(/expected 64 entries, got 8/);
  });
});
