import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sideFormat } from "../../test/support/side-format.ts";
import { codecOf } from "./codecs/registry.ts";
import { bitsPerValue, PAGE_TOKENS, type PageLayout, pageLayout, type Region, type SideLayout } from "./page-layout.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";

const CODED = ["tq1", "tq2", "tq3", "tq4", "tq5", "tq6", "tq7", "tq8"];
const TYPES = ["f32", "f16", "q8_0", "q4_0r", ...CODED];
const sides = fc
  .tuple(fc.constantFrom(...TYPES), fc.boolean())
  .map(([type, qjl]) => sideFormat(type, { qjl: qjl && CODED.includes(type) }));

const regionsOf = (s: SideLayout): Region[] => [...s.planes, ...s.scales];
const rowBytes = (s: SideLayout): number => regionsOf(s).reduce((sum, r) => sum + r.rowBytes, 0);
const layoutOf = (spec: string, headDim: number, heads = 8): PageLayout => {
  const { k, v } = parseKvSpec(spec).forLayer(0);
  return pageLayout(k, v, headDim, heads);
};

describe("pageLayout", () => {
  it("takes ceil(bits·d/8) + 2 bytes for a tqN vector, of any head_dim", () => {
    for (let d = 8; d <= 256; d += 8) {
      for (let bits = 1; bits <= 8; bits++) {
        const { k } = pageLayout(sideFormat(`tq${bits}`), sideFormat("f16"), d, 2);
        expect(rowBytes(k)).toBe(Math.ceil((bits * d) / 8) + 2);
      }
    }
  });

  it("takes the bytes of the other types", () => {
    const bytes = (type: string, d: number, qjl = false): number =>
      rowBytes(pageLayout(sideFormat(type, { qjl }), sideFormat("f16"), d, 1).k);
    expect(bytes("f16", 128)).toBe(256);
    expect(bytes("f32", 128)).toBe(512);
    expect(bytes("q8_0", 128)).toBe(128 + 4 * 2);
    expect(bytes("q4_0r", 128)).toBe(64 + 4 * 2);
    // A last block may be short.
    expect(bytes("q8_0", 80)).toBe(80 + 3 * 2);
    expect(bytes("tq3", 128, true)).toBe(48 + 2 + 16 + 2);
  });

  it("is 3.87 times smaller than f16 at k4v4 and head_dim 128, 32K tokens of 8 heads", () => {
    const packed = layoutOf("k4v4,sinks=0,window=0", 128).numBytes;
    const f16 = layoutOf("f16", 128).numBytes;
    expect(packed).toBe(PAGE_TOKENS * 8 * 2 * 66);
    expect(f16 / packed).toBeGreaterThan(3.87);
    expect(f16 / packed).toBeLessThan(3.88);
  });

  it("counts the bits of a number with scales, sketches and alignment", () => {
    for (const [spec, headDim, expected] of [
      ["f16", 128, 16],
      ["k4v4", 128, 4.125],
      ["k4v4", 64, 4.25],
      ["k5v4", 128, 4.625],
      ["paper-4+qjl", 128, 4.1875],
      ["q8_0", 128, 8.5],
      ["q4_0r", 128, 4.5],
    ] as const) {
      expect(bitsPerValue(layoutOf(spec, headDim)), spec).toBe(expected);
    }
  });

  it("really packs 3 bits as 3: widths differ by d/8 bytes a vector", () => {
    const sizes = [1, 2, 3, 4, 5, 6, 7, 8].map((bits) => layoutOf(`paper-${bits}`, 128, 1).numBytes);
    for (let i = 1; i < 8; i++) expect(sizes[i]! - sizes[i - 1]!).toBe(2 * PAGE_TOKENS * 16);
  });

  it("places arrays without overlap, 16-byte aligned, codes before scales, padded by less than 16 bytes each", () => {
    fc.assert(
      fc.property(
        sides,
        sides,
        fc.integer({ min: 1, max: 32 }),
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(16, 64),
        (k, v, eighths, heads, tokens) => {
          const layout = pageLayout(k, v, 8 * eighths, heads, tokens);
          const regions = [...regionsOf(layout.k), ...regionsOf(layout.v)].sort((a, b) => a.offset - b.offset);
          let end = 0;
          for (const r of regions) {
            expect(r.offset % 16).toBe(0);
            expect(r.offset).toBeGreaterThanOrEqual(end);
            expect(r.offset - end).toBeLessThan(16);
            expect(r.headStride).toBe(r.rowBytes * tokens);
            end = r.offset + r.headStride * heads;
          }
          expect(layout.numBytes).toBeGreaterThanOrEqual(end);
          expect(layout.numBytes - end).toBeLessThan(16);
          const codes = [layout.k, layout.v].flatMap((s) => s.planes);
          const scales = [layout.k, layout.v].flatMap((s) => s.scales);
          for (const scale of scales) for (const plane of codes) expect(scale.offset).toBeGreaterThan(plane.offset);
          for (const s of [layout.k, layout.v]) {
            const widths = s.planes.map((p) => p.width);
            expect(widths.reduce((a, b) => a + b)).toBe(codecOf(s.side).bitsOf(s.side));
            expect(widths).toEqual([...widths].sort((a, b) => b - a));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it("gives each side rows of its own width; equal widths are laid out as ever", () => {
    const [k, v] = [sideFormat("tq4"), sideFormat("tq3")];
    const layout = pageLayout(k, v, 192, 2, PAGE_TOKENS, 128);
    expect(layout.k.planes.map(({ rowBytes }) => rowBytes)).toEqual([96]);
    expect(layout.v.planes.map(({ rowBytes }) => rowBytes)).toEqual([32, 16]);
    expect(layout.numBytes).toBe(2 * PAGE_TOKENS * (96 + 2 + 48 + 2));
    expect(bitsPerValue(layout)).toBe((8 * (96 + 2 + 48 + 2)) / (192 + 128));
    expect(pageLayout(k, v, 192, 2, PAGE_TOKENS, 192)).toEqual(pageLayout(k, v, 192, 2));
    expect(() => pageLayout(k, v, 192, 2, PAGE_TOKENS, 20)).toThrow(/head_dim: expected a multiple of 8/);
  });

  it("refuses a head_dim that cannot be packed", () => {
    for (const d of [0, 4, 12, 100, 584, Number.NaN]) {
      expect(() => pageLayout(sideFormat("tq4"), sideFormat("tq4"), d, 1)).toThrowError(
        expect.objectContaining({ code: "unsupported", message: expect.stringContaining("multiple of 8") }),
      );
    }
  });
});

it("a sketch takes a bit a projection, and its norm", () => {
  for (const projections of [8, 72, 512]) {
    const { k } = layoutOf(`paper-4+qjl,qjl=${projections}`, 64);
    // Codes of 3 bits, f16 scale, signs, f16 norm.
    expect(rowBytes(k)).toBe((3 * 64) / 8 + 2 + projections / 8 + 2);
  }
});
