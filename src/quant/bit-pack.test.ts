import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { packCodes, packPlane, planeShifts, unpackCodes, unpackPlane } from "./bit-pack.ts";

const BITS = [1, 2, 3, 4, 5, 6, 7, 8] as const;

/** [bits, codes], 8 to 256 codes. */
const cases = fc
  .tuple(fc.constantFrom(...BITS), fc.integer({ min: 1, max: 32 }))
  .chain(([bits, eighths]) =>
    fc.tuple(fc.constant(bits), fc.uint8Array({ minLength: 8 * eighths, maxLength: 8 * eighths, max: 2 ** bits - 1 })),
  );

/** The bytes by the words of docs/formats/kv-page.md, one bit at a time. */
function packByDefinition(codes: Uint8Array, bits: number): Uint8Array {
  const planes = ({ 3: [2, 1], 5: [4, 1], 6: [4, 2], 7: [4, 2, 1] } as Record<number, number[]>)[bits] ?? [bits];
  const out = new Uint8Array((codes.length * bits) / 8);
  let start = 0;
  let low = bits;
  for (const width of planes) {
    low -= width;
    codes.forEach((code, i) => {
      for (let bit = 0; bit < width; bit++) {
        const at = width * i + bit;
        out[start + (at >> 3)]! |= ((code >> (low + bit)) & 1) << (at & 7);
      }
    });
    start += (codes.length * width) / 8;
  }
  return out;
}

describe("packCodes", () => {
  it("writes exactly the documented bytes and reads them back, for 1 to 8 bits", () => {
    fc.assert(
      fc.property(cases, ([bits, codes]) => {
        const bytes = packCodes(codes, bits);
        expect(bytes.length).toBe((bits * codes.length) / 8);
        expect(bytes).toEqual(packByDefinition(codes, bits));
        expect(unpackCodes(bytes, bits, codes.length)).toEqual(codes);
      }),
      { numRuns: 400 },
    );
  });

  it("leaves no byte unused: every byte string is the packing of some codes", () => {
    fc.assert(
      fc.property(
        fc
          .constantFrom(...BITS)
          .chain((bits) => fc.tuple(fc.constant(bits), fc.uint8Array({ minLength: bits, maxLength: bits }))),
        ([bits, bytes]) => {
          expect(packCodes(unpackCodes(bytes, bits, 8), bits)).toEqual(bytes);
        },
      ),
    );
  });

  it("gives known bytes", () => {
    const codes = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7);
    // 3 bits: the upper two of each code as a plane of 2, then the lowest as a plane of 1.
    expect([...packCodes(codes, 3)]).toEqual([0b01_01_00_00, 0b11_11_10_10, 0b10101010]);
    expect([...packCodes(codes, 4)]).toEqual([0x10, 0x32, 0x54, 0x76]);
    expect([...packCodes(codes, 8)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(planeShifts(7)).toEqual([
      { width: 4, shift: 3 },
      { width: 2, shift: 1 },
      { width: 1, shift: 0 },
    ]);
  });
});

describe("packPlane", () => {
  it("stays inside its bytes, and unpackPlane adds to what is there", () => {
    const out = new Uint8Array(6).fill(0xaa);
    packPlane(Uint8Array.of(7, 0, 7, 0, 7, 0, 7, 0), 8, 2, 1, out, 2);
    expect([...out]).toEqual([0xaa, 0xaa, 0x33, 0x33, 0xaa, 0xaa]);
    const codes = new Uint8Array(8).fill(1);
    unpackPlane(out, 2, 8, 2, 1, codes);
    expect([...codes]).toEqual([7, 1, 7, 1, 7, 1, 7, 1]);
  });
});
