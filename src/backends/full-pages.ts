/**
 * @file The last part of `appendKv` for sides that are stored page by page: stores the pages that the step has filled.
 *
 * It runs on the host for all backends: KIVI is only a baseline, and this way there is one implementation and one set of bytes.
 */
import type { PageAddress } from "../cache/page-storage.ts";
import { dimOf } from "../quant/page-regions.ts";
import { RowCodec } from "../quant/row-codec.ts";
import { windowSide } from "../quant/window-side.ts";
import type { AttentionLayer, Span, Step } from "./ops.ts";

/** bytesOf: returns a page's own bytes, not a copy */
export function storeFullPages(
  step: Step,
  layer: AttentionLayer,
  bytesOf: (address: PageAddress, numBytes: number) => Uint8Array,
): void {
  for (const span of step.spans) {
    const { main } = span.sequence.cache.layers[layer.index]!;
    if (!main.isStoredWhole) return;
    const end = span.start + span.count;
    for (let page = Math.floor(span.start / main.pageTokens); (page + 1) * main.pageTokens <= end; page++) {
      quantizePage(span, layer, page, bytesOf);
    }
  }
}

function quantizePage(
  { sequence }: Span,
  { index, kv }: AttentionLayer,
  pageIndex: number,
  bytesOf: (address: PageAddress, numBytes: number) => Uint8Array,
): void {
  const { main, residual } = sequence.cache.layers[index]!;
  const page = bytesOf(sequence.main(index).get(pageIndex), main.numBytes);
  const { format } = kv;
  for (const which of ["k", "v"] as const) {
    const headDim = dimOf(kv, which);
    const codes = new RowCodec(format[which], format, headDim);
    if (!codes.isStoredWhole) continue;
    const copies = new RowCodec(windowSide(format), format, headDim);
    const rows = new Float32Array(main.pageTokens * headDim);
    for (let head = 0; head < main.numKvHeads; head++) {
      for (let row = 0; row < main.pageTokens; row++) {
        const position = pageIndex * main.pageTokens + row;
        const x = rows.subarray(row * headDim, (row + 1) * headDim);
        // After a cut the copy may be gone. Then the page was full before, and its codes are the best that is left.
        const hasCopy = position >= sequence.residualStart(index) || position < format.sinks;
        const address = hasCopy ? sequence.residual(index).get(Math.floor(position / residual!.layout.pageTokens)) : 0;
        if (address) {
          copies.read(
            bytesOf(address, residual!.layout.numBytes),
            residual!.layout,
            which,
            head,
            position % residual!.layout.pageTokens,
            x,
          );
        } else codes.read(page, main, which, head, row, x);
      }
      codes.storePage(rows, page, main, which, head);
    }
  }
}
