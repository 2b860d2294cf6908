/** @file Decides whether a sequence may be admitted, from the bytes that it and the running choices will need. */
import type { KvCache } from "../../cache/kv-cache.ts";
import type { LayerCache } from "../../cache/layer-cache.ts";
import { isPressed, mostInTier, pagesFromTier } from "../../cache/states/tiers.ts";
import { TurboQuantError } from "../../errors.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import { type Choice, isDecoding } from "./request.ts";

/** Room that every running choice gets to grow before the next one is admitted, in tokens. */
const HEADROOM_TOKENS = PAGE_TOKENS;

/** The most bytes of pages of codes of a layer between steps, once all have grown as coarse as they can. */
function codeBytes({ main, reach, residual, tiers }: LayerCache, length: number): number {
  const coded = residual?.codedTokens(length) ?? length;
  const pages = reach.mostPages(coded, main.pageTokens);
  // Which of the pages within a sliding window have grown coarser depends on where it begins.
  if (reach.slidingWindow > 0) return pages * main.numBytes;
  const coarser = tiers.map((_, tier) => Math.min(pages, pagesFromTier(tiers, tier, length, coded)));
  return coarser.reduce(
    (sum, count, tier) => sum + (count - (coarser[tier + 1] ?? 0)) * tiers[tier]!.layout.numBytes,
    (pages - (coarser[0] ?? 0)) * main.numBytes,
  );
}

export class Admission {
  readonly #cache: KvCache;
  readonly #limitBytes: () => number;
  /** Bytes of those states of a sequence that do not grow with it. */
  readonly #fixedBytes: number;

  /** limitBytes: the most bytes of pages at present */
  constructor(cache: KvCache, limitBytes: () => number = () => cache.pool.budgetBytes) {
    this.#cache = cache;
    this.#fixedBytes = cache.slots.reduce((sum, { fixedBytes }) => sum + fixedBytes, 0);
    this.#limitBytes = limitBytes;
  }

  /** Bytes of a sequence of `length` tokens that shares no pages. toRead: of those tokens, the ones that steps are still to read as a prompt */
  sequenceBytes(length: number, toRead = 1): number {
    // A step reads a state of fixed size from one page and writes the next state to another; a step that reads on in a prompt and
    // passes a page end writes the state at that end as well.
    let sum = this.#fixedBytes * (toRead > PAGE_TOKENS ? 3 : 2);
    for (const layer of this.#cache.layers) {
      sum += codeBytes(layer, length);
      if (layer.residual) sum += layer.residual.mostPages(length) * layer.residual.layout.numBytes;
    }
    return sum;
  }

  /** Bytes that `choices` have or will need soon; pages they share count once. */
  committedBytes(choices: readonly Choice[]): number {
    const owners = new Map<object, number>();
    let sum = 0;
    for (const choice of choices) {
      const { tokens, shared } = choice;
      sum += this.sequenceBytes(tokens.length + HEADROOM_TOKENS, isDecoding(choice) ? 1 : tokens.length);
      if (!shared) continue;
      sum -= this.#wholePages(shared.tokens);
      owners.set(shared.owner, Math.max(owners.get(shared.owner) ?? 0, shared.tokens));
    }
    for (const tokens of owners.values()) sum += this.#wholePages(tokens);
    return sum;
  }

  /**
   * Whether there is room beside `choices` for a sequence of `length` tokens, `sharedTokens` of them shared, when steps read up
   * to `stepTokens` of prompts. toRead: see `sequenceBytes`
   */
  hasRoom(
    choices: readonly Choice[],
    length: number,
    sharedTokens: number,
    stepTokens: number,
    toRead: number = length,
  ): boolean {
    const own = this.sequenceBytes(length + HEADROOM_TOKENS, toRead) - this.#wholePages(sharedTokens);
    return this.committedBytes(choices) + own + this.#stepBytes(stepTokens) <= this.#limitBytes();
  }

  /** @throws TurboQuantError out_of_memory — a prompt of `length` tokens does not fit even alone */
  checkAlone(length: number): void {
    if (this.sequenceBytes(length + 1, length) > this.#limitBytes()) throw this.tooLong(length);
  }

  tooLong(length: number): TurboQuantError {
    const budgetBytes = this.#limitBytes();
    const bytes = this.sequenceBytes(length + 1, length);
    return new TurboQuantError(
      "out_of_memory",
      `prompt: ${length} tokens need ${bytes} bytes of KV cache, the budget is ${budgetBytes}; shorten the prompt, or load with a larger budget (--kv-budget)`,
      { tokens: length, bytes, budgetBytes },
    );
  }

  /** Bytes that a step adds to the residual windows until it is committed. */
  #stepBytes(stepTokens: number): number {
    return this.#cache.layers.reduce((sum, { main, reach, residual, tiers }) => {
      let bytes = reach.slidingWindow > 0 ? Math.ceil(stepTokens / main.pageTokens) * main.numBytes : 0;
      if (residual && residual.window > 0) {
        bytes += Math.ceil(stepTokens / residual.layout.pageTokens) * residual.layout.numBytes;
      }
      // Pages that a step moves to a coarser tier are in both until it is committed.
      for (const { layout } of tiers) bytes += (Math.ceil(stepTokens / layout.pageTokens) + 1) * layout.numBytes;
      // A prompt is coded finely before it grows coarse.
      if (tiers[0] && isPressed(tiers[0])) bytes += Math.ceil(stepTokens / main.pageTokens) * main.numBytes;
      return sum + bytes;
    }, 0);
  }

  /** Bytes of whole pages that sequences with a common beginning certainly share. Pages of sliding windows do not count. */
  #wholePages(tokens: number): number {
    return this.#cache.layers.reduce((sum, { main, reach, residual, tiers }) => {
      if (reach.slidingWindow > 0) return sum;
      // Each sequence codes anew for itself what grows coarser as it becomes longer.
      const last = tiers.at(-1);
      const coded = residual?.codedTokens(tokens) ?? tokens;
      if (last) return sum + mostInTier(last, tokens, coded) * last.layout.numBytes;
      return sum + Math.floor(coded / main.pageTokens) * main.numBytes;
    }, 0);
  }
}
