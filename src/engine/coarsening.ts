/**
 * @file Makes room by coding old pages anew in fewer bits, in formats whose tiers last as long as there is memory (`--kv auto`).
 *
 * Pages grow coarser in stages, each a tier that they leave and the tokens that stay in it: no page goes in a later stage while there is one that can go in an
 * earlier. Within a stage the oldest pages of all sequences go first, the layers that lose least of each. Pages that sequences share are coded once for all of them.
 */
import type { KvCache } from "../cache/kv-cache.ts";
import { bytesOf, pagesAtRest } from "../cache/page-counts.ts";
import type { PagePool } from "../cache/page-pool.ts";
import type { PageAddress } from "../cache/page-storage.ts";
import type { Sequence } from "../cache/sequence.ts";
import { isPressed, NEWEST_TOKENS } from "../cache/states/tiers.ts";
import { TurboQuantError } from "../errors.ts";
import { formatBytes } from "../format-number.ts";
import type { Decoder } from "../models/decoder.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";
import type { PreparedLayer } from "../quant/prepared-layer.ts";

/** What may grow coarser together. */
interface Stage {
  /** That pages leave, 0 for the finest. */
  readonly tier: number;
  /** Newest tokens of each sequence whose pages stay in it. */
  readonly newest: number;
}

/**
 * The order for a format of so many coarser tiers. The newest tokens, whose errors weigh most, leave the finest codes only before others enter the coarsest, and
 * grow coarser than that last of all (docs/decisions/0018).
 */
function stagesOf(numTiers: number): readonly Stage[] {
  const tiers = Array.from({ length: numTiers }, (_, tier) => tier);
  const older = tiers.map((tier) => ({ tier, newest: NEWEST_TOKENS }));
  const all = tiers.map((tier) => ({ tier, newest: 0 }));
  const begin = Math.max(1, numTiers - 1);
  return [...older.slice(0, begin), ...all.slice(0, 1), ...older.slice(begin), ...all.slice(1)];
}

export class Coarsening {
  /** Layers with tiers that yield to memory, those that lose least first. */
  readonly #layers: Decoder["ownAttention"];
  readonly #stages: readonly Stage[];
  #numPages = 0;

  constructor(decoder: Decoder) {
    this.#layers = decoder.ownAttention
      .filter(({ layer }) => layer.kv.format.tiers?.some(isPressed))
      .sort((a, b) => shareOfError(a.layer.kv) - shareOfError(b.layer.kv));
    this.#stages = stagesOf(Math.max(0, ...this.#layers.map(({ layer }) => layer.cache.tiers.length)));
  }

  /** Whether pages yield to memory. */
  get isPossible(): boolean {
    return this.#layers.length > 0;
  }

  /** Pages that have been coded anew for want of memory. */
  get numPages(): number {
    return this.#numPages;
  }

  /**
   * Makes pages of these sequences coarser until `isEnough` says so. No step of theirs may be in flight.
   * returns: whether it was enough
   */
  makeRoom(sequences: readonly Sequence[], isEnough: () => boolean): boolean {
    const known = new Map<PagePool, Map<PageAddress, PageAddress>>();
    for (const stage of this.#stages) {
      if (this.#goThrough(stage, sequences, isEnough, known)) return true;
    }
    return isEnough();
  }

  #goThrough(
    { tier, newest }: Stage,
    sequences: readonly Sequence[],
    isEnough: () => boolean,
    known: Map<PagePool, Map<PageAddress, PageAddress>>,
  ): boolean {
    for (let page = 0; ; page++) {
      let isOver = true;
      for (const { layer, ops } of this.#layers) {
        for (const sequence of sequences) {
          const state = sequence.kv(layer.index);
          if (tier >= state.tiers.length) continue;
          const { first, end } = state.coarsenable(tier, newest);
          if (page < end) isOver = false;
          if (page < first || page >= end) continue;
          if (isEnough()) return true;
          const own = known.get(state.pool) ?? new Map<PageAddress, PageAddress>();
          known.set(state.pool, own);
          try {
            const recode = (from: PageAddress, to: PageAddress): void => {
              ops.coarsen!(layer, tier, from, to);
              this.#numPages++;
            };
            state.coarsen(tier, recode, own);
          } catch (error) {
            if (error instanceof TurboQuantError && error.code === "out_of_memory") return false;
            throw error;
          }
        }
      }
      if (isOver) return false;
    }
  }
}

/**
 * By how much a calibration lowers what an error costs a layer: the geometric mean of its metric, whose arithmetic mean is 1. Small where
 * most directions matter little. 1 without a calibration, so that the layers keep their order.
 */
function shareOfError({ calibration }: PreparedLayer): number {
  const metrics = [calibration?.key?.metric, calibration?.value?.metric].filter((metric) => metric !== undefined);
  let [sum, count] = [0, 0];
  for (const metric of metrics) {
    for (const weight of metric) sum += Math.log(Math.max(weight, 1e-9));
    count += metric.length;
  }
  return count === 0 ? 1 : Math.exp(sum / count);
}

/**
 * Asks for a budget where pages yield to memory, before anything is loaded.
 * @throws TurboQuantError invalid_argument
 */
export function checkBudgetGiven(kv: KvSpec, budgetBytes = Number.POSITIVE_INFINITY): void {
  if (Number.isFinite(budgetBytes) || !kv.forLayer(0).tiers?.some(isPressed)) return;
  throw new TurboQuantError(
    "invalid_argument",
    `--kv ${kv.text}: tokens grow coarser when memory is short, so say how much there is, as in --kv-budget 2GB`,
  );
}

/**
 * Refuses a budget that one sequence fills with pages that do not yield to memory: the one that is being filled, and what sinks and window have.
 * @throws TurboQuantError invalid_argument
 */
export function checkBudget({ layers, pool }: KvCache): void {
  if (!layers.some(({ tiers }) => tiers.some(isPressed))) return;
  const { budgetBytes } = pool;
  const windows = layers.map(({ residual, format }) => (residual ? format.window : 0));
  // Full pages, of which the last one yields when the next begins, behind the longest window.
  const tokens = Math.max(...windows) + 2 * PAGE_TOKENS;
  const least = layers.reduce(
    (sum, layer) => sum + layer.main.numBytes + bytesOf(layer, pagesAtRest(layer, tokens)),
    0,
  );
  if (budgetBytes >= least) return;
  throw new TurboQuantError(
    "invalid_argument",
    `--kv-budget ${formatBytes(budgetBytes)}: one sequence of ${tokens} tokens, as coarse as it can get, needs more beside the page that it fills; give it at least ${formatBytes(least)}`,
    { budgetBytes, least },
  );
}
