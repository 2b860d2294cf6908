import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gaussianVector, squaredDistance } from "../../../test/support/vectors.ts";
import { fromFloat16Bits } from "../../math/float16.ts";
import type { Bits } from "../kv-format.ts";
import { TurboQuantMse } from "../turboquant-mse.ts";
import { KIVI_GROUP, KiviCodec } from "./kivi.ts";

const BITS = [1, 2, 3, 4, 5, 6, 7, 8] as const;

describe("KiviCodec", () => {
  it("keeps every number within half a step of its group, f16 rounding included", () => {
    const numbers = fc.float({ min: -500, max: 500, noNaN: true });
    fc.assert(
      fc.property(fc.constantFrom(...BITS), fc.array(numbers, { minLength: 80, maxLength: 80 }), (bits, list) => {
        const codec = new KiviCodec(80, bits);
        const value = Float32Array.from(list);
        const code = codec.quantizeValue(value);
        const back = codec.dequantizeValue(code);
        for (let i = 0; i < 80; i++) {
          const g = Math.floor(i / KIVI_GROUP);
          const step = fromFloat16Bits(code.scales[g]!);
          const largest = Math.max(...value.subarray(g * KIVI_GROUP, (g + 1) * KIVI_GROUP).map(Math.abs));
          // Zero and scale are f16: the ends of a group move by 2^-11 of them, the scale's part counted 2^bits − 1 times.
          const slack = 2 ** -11 * (largest + step * 2 ** bits) + 2 ** -24 * 2 ** bits;
          expect(Math.abs(back[i]! - value[i]!)).toBeLessThanOrEqual(step / 2 + slack);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("groups keys by channel: a channel of large numbers costs the others nothing", () => {
    const codec = new KiviCodec(64, 4);
    const keys = gaussianVector(KIVI_GROUP * 64, 0);
    const clean = codec.dequantizeKeys(codec.quantizeKeys(keys));
    const shifted = keys.map((v, i) => (i % 64 === 5 ? v + 300 : v));
    const back = codec.dequantizeKeys(codec.quantizeKeys(shifted));
    for (let i = 0; i < keys.length; i++) if (i % 64 !== 5) expect(back[i]).toBe(clean[i]);
    // The shifted channel itself keeps its resolution: only its zero point moves (f16 at 300: steps of 1/4).
    for (let i = 5; i < keys.length; i += 64) expect(Math.abs(back[i]! - shifted[i]!)).toBeLessThan(0.5);
  });

  it("groups values by token: 64 channels share a scale, the last group may be short", () => {
    const codec = new KiviCodec(80, 2);
    const code = codec.quantizeValue(Float32Array.from({ length: 80 }, (_, i) => (i >= 64 ? 100 + i : i % 4)));
    expect([...code.zeros].map(fromFloat16Bits)).toEqual([0, 164]);
    expect([...code.scales].map(fromFloat16Bits)).toEqual([1, 5]);
    expect([...codec.dequantizeValue(code).subarray(0, 8)]).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
  });

  it("stores the bytes it says: bits + ½ a number in groups of 64", () => {
    for (const bits of BITS) {
      const codec = new KiviCodec(128, bits);
      const size = (c: { codes: Uint8Array; scales: Uint16Array; zeros: Uint16Array }) =>
        c.codes.byteLength + c.scales.byteLength + c.zeros.byteLength;
      expect(size(codec.quantizeKeys(new Float32Array(KIVI_GROUP * 128)))).toBe(codec.numKeyBytes);
      expect(size(codec.quantizeValue(new Float32Array(128)))).toBe(codec.numValueBytes);
      expect((codec.numKeyBytes * 8) / (KIVI_GROUP * 128)).toBe(bits + 0.5);
      expect((codec.numValueBytes * 8) / 128).toBe(bits + 0.5);
    }
  });

  it("has a larger error than TurboQuant_mse on normal values, scales and zeros counted at a factor of 4 a bit", () => {
    for (const bits of [2, 3, 4] as const) {
      const kivi = new KiviCodec(128, bits);
      const turbo = new TurboQuantMse({ dimension: 128, bits });
      let kiviError = 0;
      let turboError = 0;
      for (let i = 0; i < 100; i++) {
        const x = gaussianVector(128, i);
        kiviError += squaredDistance(x, kivi.dequantizeValue(kivi.quantizeValue(x)));
        turboError += squaredDistance(x, turbo.dequantize(turbo.quantize(x)));
      }
      const extraBits = ((kivi.numValueBytes - turbo.numBytes) * 8) / 128;
      expect((kiviError * 4 ** extraBits) / turboError).toBeGreaterThan(1.3);
    }
  });

  it("keeps constants, and survives what is not finite", () => {
    const codec = new KiviCodec(32, 4);
    expect(codec.dequantizeValue(codec.quantizeValue(new Float32Array(32).fill(-2.5)))).toEqual(
      new Float32Array(32).fill(-2.5),
    );
    const bad = gaussianVector(32, 1);
    bad.set([Number.NaN, Number.POSITIVE_INFINITY, -1e30], 4);
    const back = codec.dequantizeValue(codec.quantizeValue(bad));
    expect(back.every(Number.isFinite)).toBe(true);
    expect(back[6]).toBe(-65504);
    expect(new KiviCodec(32, 1).dequantizeValue(new KiviCodec(32, 1).quantizeValue(bad)).every(Number.isFinite)).toBe(
      true,
    );
  });

  it("refuses shapes that do not fit", () => {
    const invalid = expect.objectContaining({ code: "invalid_argument" });
    expect(() => new KiviCodec(12, 4)).toThrowError(invalid);
    expect(() => new KiviCodec(64, 0 as Bits)).toThrowError(invalid);
    expect(() => new KiviCodec(64, 4).quantizeKeys(new Float32Array(64))).toThrowError(/expected 4096 entries, got 64/);
  });
});
