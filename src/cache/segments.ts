/** @file What the bytes of a sequence are spent on, layer by layer: codes, scales, pages of sinks and window, and states of fixed size. */
import type { PageLayout } from "../quant/page-layout.ts";
import type { Sequence } from "./sequence.ts";
import { CompressedState } from "./states/compressed-state.ts";
import { KvState } from "./states/kv-state.ts";

/** Allocated bytes of one layer; the five parts add up to the layer's share of `Sequence.numBytes`. */
export interface LayerSegments {
  /** Index in the model. */
  readonly layer: number;
  /** Packed codes and sign sketches; in a float format the values themselves. */
  readonly codes: number;
  /** Scales, residual norms, and the padding behind each array. */
  readonly scales: number;
  /** Pages of the first tokens, in 16 bits or in 8. */
  readonly sinks: number;
  /** Pages of the most recent tokens, in 16 bits or in 8. */
  readonly window: number;
  /** Of a layer whose state does not grow with the sequence, in f32: delta rules, state spaces, convolutions. */
  readonly state: number;
  /** Bits of a number in the pages of sinks and window; absent where the layer has none. */
  readonly bits?: 8 | 16;
  /** Of codes and scales, those in pages that have been coded anew in fewer bits; absent where the format has no tiers. */
  readonly coarser?: number;
}

/** Number of bytes of all parts together. */
export const bytesOfSegments = ({ codes, scales, sinks, window, state }: LayerSegments): number =>
  codes + scales + sinks + window + state;

/** Of layers with a state of their own, in order. */
export function segmentsOf(sequence: Sequence): LayerSegments[] {
  const layers = new Map<number, LayerSegments>();
  for (const [i, state] of sequence.states.entries()) {
    const { layer } = sequence.cache.slots[i]!;
    const kv = state instanceof CompressedState ? state.rows : state;
    const own = kv instanceof KvState ? kvSegments(kv) : { ...NOTHING, state: kv.numBytes };
    const before = layers.get(layer);
    layers.set(layer, before ? added(before, own) : { layer, ...own });
  }
  return [...layers.values()];
}

type Parts = Omit<LayerSegments, "layer">;
const NOTHING: Parts = { codes: 0, scales: 0, sinks: 0, window: 0, state: 0 };

const added = (a: LayerSegments, b: Parts): LayerSegments => ({
  layer: a.layer,
  codes: a.codes + b.codes,
  scales: a.scales + b.scales,
  sinks: a.sinks + b.sinks,
  window: a.window + b.window,
  state: a.state + b.state,
  ...(a.bits || b.bits ? { bits: a.bits ?? b.bits! } : {}),
  ...(a.coarser === undefined && b.coarser === undefined ? {} : { coarser: (a.coarser ?? 0) + (b.coarser ?? 0) }),
});

function kvSegments({
  layer: { format, main, residual, tiers },
  main: pages,
  residual: copies,
  tiers: coarser,
}: KvState): Parts {
  let [codes, all] = [0, 0];
  for (const [layout, table] of [
    [main, pages] as const,
    ...tiers.map(({ layout }, tier) => [layout, coarser[tier]!] as const),
  ]) {
    const numPages = countPages(table.entries());
    codes += numPages * codeBytes(layout);
    all += numPages * layout.numBytes;
  }
  const sinkPages = residual?.sinkPages ?? 0;
  const residualPages = copies.entries();
  const residualBytes = residual?.layout.numBytes ?? 0;
  return {
    codes,
    scales: all - codes,
    sinks: residualBytes * countPages(residualPages.subarray(0, sinkPages)),
    window: residualBytes * countPages(residualPages.subarray(sinkPages)),
    state: 0,
    ...(residual && { bits: format.windowBits ?? 16 }),
    ...(tiers.length > 0 && { coarser: all - countPages(pages.entries()) * main.numBytes }),
  };
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
