/** @file Where the bytes of a sequence are: by layer, codes and scales against the 16-bit copies. */
import type { PageLayout, SideLayout } from "../quant/page-layout.ts";
import type { Sequence } from "./sequence.ts";

/** Bytes of one layer as allocated; the four add up to its share of `Sequence.numBytes`. */
export interface LayerSegments {
  /** Packed codes and sign sketches; of a float format its values. */
  readonly codes: number;
  /** Scales, residual norms, and the padding behind each array. */
  readonly scales: number;
  /** 16-bit pages of the first tokens. */
  readonly sinks: number;
  /** 16-bit pages of the most recent tokens. */
  readonly window: number;
}

export function segmentsOf(sequence: Sequence): LayerSegments[] {
  return sequence.cache.layers.map(({ main, residual }, layer) => {
    const pages = countPages(sequence.main(layer).entries());
    const codes = pages * codeBytes(main);
    const sinkPages = residual?.sinkPages ?? 0;
    const residualPages = sequence.residual(layer).entries();
    const residualBytes = residual?.layout.numBytes ?? 0;
    return {
      codes,
      scales: pages * main.numBytes - codes,
      sinks: residualBytes * countPages(residualPages.subarray(0, sinkPages)),
      window: residualBytes * countPages(residualPages.subarray(sinkPages)),
    };
  });
}

function countPages(addresses: Uint32Array): number {
  let count = 0;
  for (const address of addresses) if (address) count++;
  return count;
}

/** Bytes of codes in a page, padding left out. */
function codeBytes(layout: PageLayout): number {
  const bitsOf = (side: SideLayout): number =>
    side.planes.reduce((sum, plane) => sum + plane.width, 0) + (side.sketch ? side.sketch.signs.width : 0);
  const bits = bitsOf(layout.k) + bitsOf(layout.v);
  return (bits * layout.pageTokens * layout.numKvHeads * layout.headDim) / 8;
}
