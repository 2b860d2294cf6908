import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gaussianVector, meanAndError, squaredDistance, unitVector } from "../../../test/support/vectors.ts";
import { fromFloat16Bits, toFloat16Bits } from "../../math/float16.ts";
import type { RotationKind } from "../kv-format.ts";
import { pageLayout } from "../page-layout.ts";
import { parseKvSpec } from "../parse-kv-spec.ts";
import { RowCodec } from "../row-codec.ts";
import { TurboQuantMse } from "../turboquant-mse.ts";
import { RotatedQ4Codec } from "./q4-0-rotated.ts";
import { Q8Codec } from "./q8-0.ts";

/** Little-endian bytes of f16 bits. */
const bytesOf = (scales: Uint16Array): number[] => [...scales].flatMap((s) => [s & 255, s >> 8]);

/** Codes and scales of row 0 of K. */
function storedRow(spec: string, x: Float32Array): { codes: number[]; scales: number[] } {
  const format = parseKvSpec(spec).forLayer(0);
  const layout = pageLayout(format.k, format.v, x.length, 1);
  const page = new Uint8Array(layout.numBytes);
  const codec = new RowCodec(format.k, format, x.length);
  const prepared = x.slice();
  codec.prepare(prepared);
  codec.write(prepared, page, layout, "k", 0, 0);
  const row = ({ offset, rowBytes }: { offset: number; rowBytes: number }) => [
    ...page.slice(offset, offset + rowBytes),
  ];
  return { codes: row(layout.k.planes[0]!), scales: row(layout.k.scales[0]!) };
}

describe("Q8Codec", () => {
  it("gives known codes: halves go to the even neighbour, the largest to ±127", () => {
    const codec = new Q8Codec(8);
    // A scale of 1: the largest is 127.
    const code = codec.quantize(Float32Array.of(127, 0.5, 1.5, 2.5, -0.5, -1.5, 0, -127));
    expect([...code.codes].map((c) => c - 128)).toEqual([127, 0, 2, 2, 0, -2, 0, -127]);
    expect([...code.scales]).toEqual([toFloat16Bits(1)]);
    expect([...codec.dequantize(code)]).toEqual([127, 0, 2, 2, 0, -2, 0, -127]);
  });

  it("keeps every number within half a step of its block, f16 rounding of the scale included", () => {
    const numbers = fc.float({ min: -60_000, max: 60_000, noNaN: true });
    fc.assert(
      fc.property(fc.array(numbers, { minLength: 80, maxLength: 80 }), (list) => {
        const codec = new Q8Codec(80);
        const x = Float32Array.from(list);
        const code = codec.quantize(x);
        const back = codec.dequantize(code);
        for (let i = 0; i < 80; i++) {
          const block = x.subarray(i - (i % 32), i - (i % 32) + 32);
          const largest = Math.max(...block.map(Math.abs));
          // 127 steps, each off by 2^-11 of itself, or by half the smallest f16 where the scale is subnormal.
          expect(Math.abs(back[i]! - x[i]!)).toBeLessThanOrEqual(
            largest / 254 + largest * 2 ** -11 * 1.01 + 127 * 2 ** -25,
          );
        }
      }),
      { numRuns: 200 },
    );
  });

  it("writes the row of a q8_0 page", () => {
    for (const d of [8, 80, 128]) {
      const x = gaussianVector(d, 1);
      const code = new Q8Codec(d).quantize(x);
      expect(storedRow("q8_0", x)).toEqual({ codes: [...code.codes], scales: bytesOf(code.scales) });
    }
  });
});

describe("RotatedQ4Codec", () => {
  it("gives known codes without rotation: −8 at the largest magnitude, of either sign", () => {
    const codec = new RotatedQ4Codec({ dimension: 8, rotation: "none" });
    const x = Float32Array.of(-8, 7, 0, 3.4, 3.6, -3.4, 7.9, 1);
    const values = (v: Float32Array) => [...codec.dequantize(codec.quantize(v))];
    // Opposite the largest the grid ends at 7.
    expect(values(x)).toEqual([-8, 7, 0, 3, 4, -3, 7, 1]);
    expect([...codec.quantize(x).codes]).toEqual([0xf0, 0xb8, 0x5c, 0x9f]);
    expect(values(x.map((v) => -v))).toEqual([8, -7, -0, -3, -4, 3, -7, -1]);
    expect(fromFloat16Bits(codec.quantize(x.map((v) => -v)).scales[0]!)).toBe(-1);
  });

  it("writes the row of a q4_0r page, under each rotation", () => {
    for (const d of [8, 80, 128]) {
      for (const rotation of ["hadamard", "qr", "none"] as const satisfies readonly RotationKind[]) {
        const x = gaussianVector(d, 2);
        const code = new RotatedQ4Codec({ dimension: d, rotation, seed: 5 }).quantize(x);
        const row = storedRow(`q4_0r,rotation=${rotation},seed=5`, x);
        expect(row).toEqual({ codes: [...code.codes], scales: bytesOf(code.scales) });
      }
    }
  });

  it("has the distortion of q4_0 on normal values, more than TurboQuant_mse at equal bytes: n = 1,000 directions", () => {
    const q4 = new RotatedQ4Codec({ dimension: 128 });
    const turbo = new TurboQuantMse({ dimension: 128, bits: 4 });
    const { mean, error } = meanAndError(
      Array.from({ length: 1000 }, (_, i) => {
        const x = unitVector(128, i);
        return squaredDistance(x, q4.dequantize(q4.quantize(x)));
      }),
    );
    // The error integrated over the law of the largest of 32 normal values and of the other 31 (its grid, its cut at +7); 1 %
    // for coordinates of 128 dimensions not being quite normal.
    const expected = 0.007377;
    expect(Math.abs(mean - expected)).toBeLessThan(3.9 * error + 0.01 * expected);
    expect(3.9 * error).toBeLessThan(0.03 * expected);
    // 4.5 bits a number against 4.125; each bit is worth a factor of 4 to anyone.
    const moreBits = (8 * (q4.numBytes - turbo.numBytes)) / 128;
    expect(moreBits).toBe(0.375);
    expect(mean).toBeGreaterThan(1.2 * turbo.distortion * 4 ** -moreBits);
  });

  it("needs its rotation where every block has an outlier", () => {
    const error = (rotation: RotationKind): number => {
      const codec = new RotatedQ4Codec({ dimension: 128, rotation });
      return meanAndError(
        Array.from({ length: 50 }, (_, i) => {
          const x = gaussianVector(128, i);
          for (let at = 5; at < 128; at += 32) x[at] = 16;
          return squaredDistance(x, codec.dequantize(codec.quantize(x))) / 128;
        }),
      ).mean;
    };
    // Without: steps of 16/8 = 2 for normal values, an error of 4/12. With: a variance of 1 + 256/32 = 9, spread evenly.
    expect(error("none")).toBeGreaterThan(0.25);
    expect(error("hadamard")).toBeLessThan(0.1);
  });
});

describe("both", () => {
  const codecs = [new Q8Codec(80), new RotatedQ4Codec({ dimension: 80 })];

  it("store the bytes they say, leave the input alone, zeros zero and everything finite", () => {
    expect(codecs.map((c) => c.numBytes)).toEqual([86, 46]);
    for (const codec of codecs) {
      const x = gaussianVector(80, 4);
      const copy = x.slice();
      const code = codec.quantize(x);
      expect(x).toEqual(copy);
      expect(code.codes.byteLength + code.scales.byteLength).toBe(codec.numBytes);
      expect(codec.dequantize(codec.quantize(new Float32Array(80))).every((v) => v === 0)).toBe(true);
      x.set([Number.NaN, Number.POSITIVE_INFINITY, -1e30], 4);
      expect(codec.dequantize(codec.quantize(x)).every(Number.isFinite)).toBe(true);
    }
  });

  it("refuse shapes that do not fit", () => {
    const invalid = expect.objectContaining({ code: "invalid_argument" });
    expect(() => new Q8Codec(12)).toThrowError(invalid);
    expect(() => new RotatedQ4Codec({ dimension: 0 })).toThrowError(invalid);
    for (const codec of codecs) {
      expect(() => codec.quantize(new Float32Array(64))).toThrowError(/expected 80 entries, got 64/);
      const { codes, scales } = codec.quantize(new Float32Array(80));
      expect(() => codec.dequantize({ codes: codes.slice(1), scales })).toThrowError(invalid);
      expect(() => codec.dequantize({ codes, scales: scales.slice(1) })).toThrowError(invalid);
    }
  });
});
