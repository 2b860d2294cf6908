/** @file What the bytes of a sequence are spent on, layer by layer: codes, scales, and 16-bit copies of sinks and window. */
import type { PageLayout } from "../quant/page-layout.ts";
import type { Sequence } from "./sequence.ts";

/** Allocated bytes of one layer; the four numbers add up to the layer's share of `Sequence.numBytes`. */
export interface LayerSegments {
  /** Packed codes and sign sketches; in a float format the values themselves. */
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

/** Bytes of codes in one page, without padding. */
function codeBytes({ k, v, numKvHeads }: PageLayout): number {
  return [...k.planes, ...v.planes].reduce((sum, { headStride }) => sum + headStride * numKvHeads, 0);
}
