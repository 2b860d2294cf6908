/**
 * @file The attention kernels by themselves: that every code of every width meets its own centroid and its own coordinate,
 * and that decoding and prefilling give the same. test/contract compares whole layers with the reference.
 */
import { describe, expect, it } from "vitest";
import { sideFormat } from "../../../test/support/side-format.ts";
import { AttentionFixture } from "../../../test/support/wasm-attention.ts";
import { relativeError } from "../../../test/support/wasm-backend.ts";
import { tolerance } from "../../../test/tolerances.ts";
import { CounterRng } from "../../math/rng.ts";
import { packPlane, planeShifts } from "../../quant/bit-pack.ts";
import { typeOf } from "../../quant/codecs/registry.ts";
import type { Bits } from "../../quant/kv-format.ts";
import { trellisPlaces } from "../../quant/trellis.ts";
import { wasmCodecs } from "./codecs/registry.ts";

const WIDTHS: readonly Bits[] = [1, 2, 3, 4, 5, 6, 7, 8];
const ONE = 0x3c00; // 1 in f16

/** Packs a row of codes with scale 1. */
function putCodes(fixture: AttentionFixture, which: "k" | "v", bits: number, row: number, codes: Uint8Array): void {
  const { layout, pages, u8, view } = fixture;
  const side = layout[which];
  for (const [p, { width, shift }] of planeShifts(bits).entries()) {
    const { offset, rowBytes } = side.planes[p]!;
    packPlane(codes, codes.length, width, shift, u8, pages + offset + row * rowBytes);
  }
  view.setUint16(pages + side.scales[0]!.offset + 2 * row, ONE, true);
}

/** Every code in turn, in an order without a period that a layout could share. */
function someCodes(bits: number, length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 5 + (i >> 3) + seed * 11) & (2 ** bits - 1));
}

const CODES = [...WIDTHS.map((bits) => ({ bits, trellis: false })), { bits: 2 as Bits, trellis: true }];

describe.each(CODES)("$bits bits, trellis: $trellis", ({ bits, trellis }) => {
  const type = `tq${bits}`;
  const side = sideFormat(type, { trellis });
  const tableOf = (headDim: number) => wasmCodecs.of(side).book!(side, headDim).codebook();
  /** Which of the table's levels each coordinate has. */
  const placesOf = (codes: Uint8Array): Uint8Array => {
    const places = codes.slice();
    if (trellis) trellisPlaces(places);
    return places;
  };

  // One row takes the path straight from the codes, more than two the path over an unpacked tile.
  it.each([
    [64, 1],
    [64, 2],
    [64, 3],
    [72, 2],
    [72, 5],
    [256, 1],
    [256, 4],
  ])("the value of a single key comes out as its centroids, head_dim %d, %d query heads", async (headDim, group) => {
    const fixture = await AttentionFixture.create({
      k: "f16",
      v: type,
      headDim,
      numKvHeads: 1,
      group,
      tokens: 1,
      trellis,
    });
    const { levels, step } = tableOf(headDim);
    for (let seed = 0; seed < 3; seed++) {
      const codes = someCodes(bits, headDim, seed);
      putCodes(fixture, "v", bits, 0, codes);
      const places = placesOf(codes);
      fixture.decode();
      const unit = step / Math.sqrt(headDim);
      for (let i = 0; i < group * headDim; i++) {
        // One weight of 32767, or less where sums could overflow: exact but for f32 rounding.
        const expected = levels[places[i % headDim]!]! * unit;
        expect(Math.abs(fixture.f32[fixture.out / 4 + i]! - expected), `coordinate ${i}`).toBeLessThan(
          1e-4 * unit + 1e-6 * Math.abs(expected),
        );
      }
    }
  });

  it.each([
    [64, 1],
    [64, 2],
    [72, 8],
    [256, 16],
  ])(
    "a query along one axis scores that coordinate's centroid, head_dim %d, %d query heads",
    async (headDim, group) => {
      const fixture = await AttentionFixture.create({
        k: type,
        v: "f32",
        headDim,
        numKvHeads: 1,
        group,
        tokens: 2,
        trellis,
      });
      const { layout, pages, view, f32, query, out } = fixture;
      const { levels, step } = tableOf(headDim);
      const codes = someCodes(bits, headDim, 1);
      putCodes(fixture, "k", bits, 1, codes);
      const places = placesOf(codes);
      // Key 0 scores 0; the values tell the weights apart.
      view.setUint16(pages + layout.k.scales[0]!.offset, 0, true);
      f32.fill(0, (pages + layout.v.planes[0]!.offset) / 4, (pages + layout.v.planes[0]!.offset) / 4 + 2 * headDim);
      f32[(pages + layout.v.planes[0]!.offset) / 4] = 1;
      f32[(pages + layout.v.planes[0]!.offset) / 4 + headDim + 1] = 1;
      const unit = step / Math.sqrt(headDim);
      const gain = 3 / Math.max(...levels.map((level) => Math.abs(level * unit)));
      for (let first = 0; first < headDim; first += group) {
        f32.fill(0, query / 4, query / 4 + group * headDim);
        for (let g = 0; g < group; g++) f32[query / 4 + g * headDim + first + g] = gain;
        fixture.decode();
        for (let g = 0; g < group && first + g < headDim; g++) {
          const score = Math.log(f32[out / 4 + g * headDim + 1]! / f32[out / 4 + g * headDim]!);
          // Scores up to 3 through exp and log in f32.
          expect(Math.abs(score - levels[places[first + g]!]! * unit * gain), `coordinate ${first + g}`).toBeLessThan(
            3e-6,
          );
        }
      }
    },
  );
});

describe("prefill and decode", () => {
  it.each<[string, string, boolean?]>([
    ["tq2", "tq2", true],
    ["tq2", "tq4", true],
    ["tq4", "tq2", true],
    ["tq4", "tq4"],
    ["tq3", "tq5"],
    ["tq8", "tq2"],
    ["tq6", "tq7"],
    ["tq1", "f16"],
    ["f16", "tq8"],
    ["f32", "f32"],
    ["q8_0", "q4_0r"],
  ])("agree over %s keys and %s values", async (k, v, trellis = false) => {
    for (const [headDim, group, tokens] of [
      [64, 2, 200],
      [80, 3, 65],
      [128, 1, 2100],
      [8, 33, 2100],
    ] as const) {
      const fixture = await AttentionFixture.create({ k, v, headDim, numKvHeads: 2, group, tokens, trellis }, 37);
      fillAtRandom(fixture);
      const { f32, query, out } = fixture;
      const width = 2 * group * headDim;
      const rng = new CounterRng(7, headDim);
      for (let i = 0; i < 37 * width; i++) f32[query / 4 + i] = 0.3 * rng.gaussian(i);
      fixture.prefill(37);
      const last = f32.slice(out / 4 + 36 * width, out / 4 + 37 * width);
      // `decode` takes its query from row 0.
      f32.copyWithin(query / 4, query / 4 + 36 * width, query / 4 + 37 * width);
      fixture.decode();
      const decoded = f32.slice(out / 4, out / 4 + width);
      expect(relativeError(last, decoded), `${headDim}, ${group}, ${tokens}`).toBeLessThan(tolerance.prefillDecode.max);
    }
  });
});

/** Random bytes for codes, floats and scales of about one. */
function fillAtRandom(fixture: AttentionFixture): void {
  const { layout, numPages, pages, u8, view, f32, shape } = fixture;
  const rng = new CounterRng(3, 4);
  for (let i = 0; i < numPages * layout.numBytes; i++) u8[pages + i] = rng.uint32(i);
  for (let page = 0; page < numPages; page++) {
    const base = pages + page * layout.numBytes;
    for (const side of [layout.k, layout.v]) {
      const rows = layout.pageTokens * shape.numKvHeads;
      const at = base + side.planes[0]!.offset;
      const type = typeOf(side.side);
      if (type === "f32") for (let i = 0; i < rows * shape.headDim; i++) f32[at / 4 + i] = rng.gaussian(i + page);
      if (type === "f16") {
        for (let i = 0; i < rows * shape.headDim; i++) view.setUint16(at + 2 * i, (rng.uint32(i) & 0x83ff) | ONE, true);
      }
      // Blocks count in steps of 1/127 or 1/8 of their largest value.
      const scale = type === "q8_0" ? 0x2000 : type === "q4_0r" ? 0x3000 : ONE;
      for (const { offset, rowBytes } of side.scales) {
        for (let i = 0; i < rowBytes * rows; i += 2)
          view.setUint16(base + offset + i, scale + (rng.uint32(i) & 255), true);
      }
    }
  }
}
