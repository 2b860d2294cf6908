/** @file Reads and writes a row of codes in a page, plane by plane, for codecs with one code for each coordinate. */
import { packPlane, planeShifts, planeWidths, unpackPlane } from "../bit-pack.ts";
import { type Plane, type PlaneSpec, rowAt } from "../page-regions.ts";

/** The planes of a row of headDim codes with `bits` bits. */
export const planesOf = (bits: number, headDim: number): PlaneSpec[] =>
  planeWidths(bits).map((width) => ({ name: "codes", width, rowBytes: (headDim * width) / 8 }));

/** codes: [headDim], one in a byte */
export function writeCodes(
  codes: Uint8Array,
  bits: number,
  page: Uint8Array,
  planes: readonly Plane[],
  head: number,
  row: number,
): void {
  for (const [p, { width, shift }] of planeShifts(bits).entries()) {
    packPlane(codes, codes.length, width, shift, page, rowAt(planes[p]!, head, row));
  }
}

/** codes: [headDim], overwritten */
export function readCodes(
  codes: Uint8Array,
  bits: number,
  page: Uint8Array,
  planes: readonly Plane[],
  head: number,
  row: number,
): void {
  codes.fill(0);
  for (const [p, { width, shift }] of planeShifts(bits).entries()) {
    unpackPlane(page, rowAt(planes[p]!, head, row), codes.length, width, shift, codes);
  }
}

/** A view of the page for reading and writing numbers of several bytes. */
export const viewOf = (page: Uint8Array): DataView => new DataView(page.buffer, page.byteOffset, page.byteLength);
