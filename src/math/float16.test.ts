import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromBfloat16Bits, fromFloat16Bits, toFloat16Bits } from "./float16.ts";

const isNaN16 = (bits: number): boolean => (bits & 0x7fff) > 0x7c00;

describe("float16", () => {
  it("reads all 65,536 bit patterns as the standard says, and writes each value back to its bits", () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 65_536; bits++) {
      const value = fromFloat16Bits(bits);
      if (isNaN16(bits)) {
        if (!Number.isNaN(value) || !isNaN16(toFloat16Bits(value))) wrong.push(bits);
        continue;
      }
      const exponent = (bits >> 10) & 31;
      const mantissa = bits & 1023;
      const magnitude =
        exponent === 31
          ? Number.POSITIVE_INFINITY
          : exponent === 0
            ? mantissa / 2 ** 24
            : ((1024 + mantissa) / 1024) * 2 ** (exponent - 15);
      // Object.is tells −0 from 0.
      if (!Object.is(value, bits & 0x8000 ? -magnitude : magnitude) || toFloat16Bits(value) !== bits) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });

  it("rounds halves between all neighbours to even, and everything else to the nearer", () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 0x7c00; bits++) {
      const low = fromFloat16Bits(bits);
      // The value after the largest finite one is where the next step would lie: halfway to it is infinity.
      const high = bits === 0x7bff ? 65_536 : fromFloat16Bits(bits + 1);
      const middle = (low + high) / 2;
      // Neighbours of the middle in f32: its mantissa has 13 bits to spare, subnormals of f16 are normal in f32.
      const step = (high - low) / 1024;
      const even = bits % 2 === 0 ? bits : bits + 1;
      for (const sign of [0, 0x8000]) {
        const s = sign ? -1 : 1;
        const rounded = [middle - step, middle, middle + step].map((x) => toFloat16Bits(s * x) - sign);
        if (rounded[0] !== bits || rounded[1] !== even || rounded[2] !== bits + 1) wrong.push(bits + sign);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("takes any f32 to the nearest f16", () => {
    fc.assert(
      fc.property(fc.float({ min: -65_519, max: 65_519, noNaN: true }), (x) => {
        const bits = toFloat16Bits(x);
        const error = Math.abs(fromFloat16Bits(bits) - x);
        const magnitude = bits & 0x7fff;
        for (const other of [magnitude - 1, magnitude + 1]) {
          if (other < 0 || other >= 0x7c00) continue;
          expect(error).toBeLessThanOrEqual(Math.abs(fromFloat16Bits(other | (bits & 0x8000)) - x));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("overflows to infinity and keeps infinities", () => {
    expect([65_519.99, 65_520, 1e30, Number.POSITIVE_INFINITY].map(toFloat16Bits)).toEqual([
      0x7bff, 0x7c00, 0x7c00, 0x7c00,
    ]);
    expect(toFloat16Bits(Number.NEGATIVE_INFINITY)).toBe(0xfc00);
    expect(isNaN16(toFloat16Bits(Number.NaN))).toBe(true);
  });

  it("bf16 is the upper half of an f32, for all 65,536 patterns", () => {
    const words = new Uint32Array(65_536).map((_, i) => i << 16);
    const expected = new Float32Array(words.buffer);
    expect(expected.every((value, bits) => Object.is(fromBfloat16Bits(bits), value))).toBe(true);
  });
});
