/** @file Zeroes the rows of a page that hold no token, so that a saved file does not reveal tokens that were trimmed. */
import type { PageLayout } from "../quant/page-layout.ts";

/** Sets rows [from, to) of every array and head of `page` to zero. */
export function clearRows(page: Uint8Array, layout: PageLayout, from: number, to: number): void {
  if (from >= to) return;
  for (const { offset, headStride, rowBytes } of [
    layout.k,
    layout.v,
    ...(layout.rotaryKey ? [layout.rotaryKey] : []),
  ].flatMap((side) => [...side.planes, ...side.scales])) {
    for (let head = 0; head < layout.numKvHeads; head++) {
      const start = offset + head * headStride;
      page.fill(0, start + from * rowBytes, start + to * rowBytes);
    }
  }
}
