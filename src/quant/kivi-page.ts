/**
 * @file KIVI in a page (docs/formats/kv-page.md): all tokens of a full page at once, as their keys share scales.
 *
 * Until its page is full a token is read from its 16-bit copy, so the window has to reach over a page. Codes are made from
 * those copies.
 */
import { fromFloat16Bits } from "../math/float16.ts";
import { quantizeGroups, transpose } from "./baselines/kivi.ts";
import { packPlane, planeShifts } from "./bit-pack.ts";
import { codeBits, KIVI_GROUP, type PageLayout } from "./page-layout.ts";
import { kindOf } from "./side-kind.ts";

/** Whether either side of a page is stored at once. */
export const hasKivi = ({ k, v }: PageLayout): boolean => kindOf(k.type) === "channel" || kindOf(v.type) === "channel";

/** Quantizes one side of one head of a page. rows: [pageTokens][headDim], changed */
export function writeKivi(
  rows: Float32Array,
  page: Uint8Array,
  layout: PageLayout,
  which: "k" | "v",
  head: number,
): void {
  const { headDim, pageTokens } = layout;
  const side = layout[which];
  const bits = codeBits(side.type);
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const { offset, headStride, rowBytes } = side.scales!;
  const putScales = (at: number, { scales, zeros }: { scales: Uint16Array; zeros: Uint16Array }): void => {
    scales.forEach((bits16, i) => {
      view.setUint16(at + 2 * i, bits16, true);
    });
    zeros.forEach((bits16, i) => {
      view.setUint16(at + 2 * (scales.length + i), bits16, true);
    });
  };
  const putRow = (codes: Uint8Array, row: number): void => {
    for (const [p, { width, shift }] of planeShifts(bits).entries()) {
      const plane = side.planes[p]!;
      packPlane(codes, headDim, width, shift, page, plane.offset + head * plane.headStride + row * plane.rowBytes);
    }
  };
  if (which === "k") {
    const groups = quantizeGroups(transpose(rows, pageTokens, headDim), bits);
    putScales(offset + head * headStride, groups);
    const codes = new Uint8Array(headDim);
    for (let row = 0; row < pageTokens; row++) {
      for (let c = 0; c < headDim; c++) codes[c] = groups.codes[c * pageTokens + row]!;
      putRow(codes, row);
    }
    return;
  }
  for (let row = 0; row < pageTokens; row++) {
    const groups = quantizeGroups(rows.subarray(row * headDim, (row + 1) * headDim), bits);
    putScales(offset + head * headStride + row * rowBytes, groups);
    putRow(groups.codes, row);
  }
}

/** One row's numbers. at: byte of its scales in the page · codes, out: [headDim] */
export function dequantizeKivi(
  codes: Uint8Array,
  page: DataView,
  at: number,
  which: "k" | "v",
  out: Float32Array,
): void {
  const groups = which === "k" ? out.length : Math.ceil(out.length / KIVI_GROUP);
  for (let i = 0; i < out.length; i++) {
    const g = which === "k" ? i : Math.floor(i / KIVI_GROUP);
    const scale = fromFloat16Bits(page.getUint16(at + 2 * g, true));
    out[i] = fromFloat16Bits(page.getUint16(at + 2 * (groups + g), true)) + codes[i]! * scale;
  }
}
