/** @file KIVI pages: what is read is what the codec gives, and every byte has its place. */
import { describe, expect, it } from "vitest";
import { gaussianVector } from "../../../../test/support/vectors.ts";
import { KiviCodec } from "../../baselines/kivi.ts";
import type { SideFormat } from "../../kv-format.ts";
import { bitsPerValue, PAGE_TOKENS, pageLayout } from "../../page-layout.ts";
import { parseKvSpec } from "../../parse-kv-spec.ts";
import { RowCodec } from "../../row-codec.ts";

const side = (bits: number): SideFormat => parseKvSpec(`kivi-${bits}`).forLayer(0).k;
const HEADS = 2;

describe.each([
  [1, 64],
  [3, 72],
  [4, 128],
  [7, 80],
] as const)("%d bits, head_dim %d", (bits, headDim) => {
  it("reads back what KiviCodec makes of the same numbers, heads and sides apart", () => {
    const layout = pageLayout(side(bits), side(bits), headDim, HEADS);
    const page = new Uint8Array(layout.numBytes);
    const format = parseKvSpec(`kivi-${bits}`).forLayer(0);
    const codec = new KiviCodec(headDim, bits);
    const rowsOf = (which: "k" | "v", head: number) =>
      gaussianVector(PAGE_TOKENS * headDim, 10 * head + (which === "k" ? 1 : 2));
    for (const which of ["k", "v"] as const) {
      const writer = new RowCodec(format[which], format, headDim);
      for (let head = 0; head < HEADS; head++) writer.storePage(rowsOf(which, head), page, layout, which, head);
    }
    const out = new Float32Array(headDim);
    for (const which of ["k", "v"] as const) {
      const reader = new RowCodec(format[which], format, headDim);
      for (let head = 0; head < HEADS; head++) {
        const rows = rowsOf(which, head);
        const keys = codec.dequantizeKeys(codec.quantizeKeys(rows.slice()));
        for (let row = 0; row < PAGE_TOKENS; row++) {
          const own = [row * headDim, (row + 1) * headDim] as const;
          reader.read(page, layout, which, head, row, out);
          const expected =
            which === "k" ? keys.slice(...own) : codec.dequantizeValue(codec.quantizeValue(rows.slice(...own)));
          expect(out).toEqual(expected);
        }
      }
    }
  });
});

it("a number takes half a bit more than its code where groups are full", () => {
  expect(bitsPerValue(pageLayout(side(4), side(4), 128, HEADS))).toBe(4.5);
  expect(bitsPerValue(pageLayout(side(2), side(2), 64, HEADS))).toBe(2.5);
});
