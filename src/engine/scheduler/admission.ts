/** @file Who is let in: the bytes that choices will take are counted before they take them. */
import type { KvCache } from "../../cache/kv-cache.ts";
import { TurboQuantError } from "../../errors.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import type { Choice } from "./request.ts";

/** Tokens by which every running choice may grow before the next one is let in. */
const HEADROOM_TOKENS = PAGE_TOKENS;

export class Admission {
  readonly #cache: KvCache;
  readonly #limitBytes: () => number;

  /** limitBytes: most bytes of pages at the moment */
  constructor(cache: KvCache, limitBytes: () => number = () => cache.pool.budgetBytes) {
    this.#cache = cache;
    this.#limitBytes = limitBytes;
  }

  /** Bytes of one sequence of `length` tokens that shares nothing. */
  sequenceBytes(length: number): number {
    let sum = 0;
    for (const { main, reach, residual } of this.#cache.layers) {
      sum += reach.mostPages(length, main.pageTokens) * main.numBytes;
      if (residual) sum += residual.mostPages(length) * residual.layout.numBytes;
    }
    return sum;
  }

  /** Bytes that `choices` have and will soon have, pages they share counted once. */
  committedBytes(choices: readonly Choice[]): number {
    const owners = new Map<object, number>();
    let sum = 0;
    for (const { tokens, shared } of choices) {
      sum += this.sequenceBytes(tokens.length + HEADROOM_TOKENS);
      if (!shared) continue;
      sum -= this.#wholePages(shared.tokens);
      owners.set(shared.owner, Math.max(owners.get(shared.owner) ?? 0, shared.tokens));
    }
    for (const tokens of owners.values()) sum += this.#wholePages(tokens);
    return sum;
  }

  /** Whether a sequence of `length` tokens, `sharedTokens` of them shared, has room beside `choices`, in steps with `stepTokens` of prompts. */
  hasRoom(choices: readonly Choice[], length: number, sharedTokens: number, stepTokens: number): boolean {
    const own = this.sequenceBytes(length + HEADROOM_TOKENS) - this.#wholePages(sharedTokens);
    return this.committedBytes(choices) + own + this.#stepBytes(stepTokens) <= this.#limitBytes();
  }

  /** @throws TurboQuantError out_of_memory — a prompt of `length` tokens does not fit even when it is alone */
  checkAlone(length: number): void {
    if (this.sequenceBytes(length + 1) > this.#limitBytes()) throw this.tooLong(length);
  }

  tooLong(length: number): TurboQuantError {
    const budgetBytes = this.#limitBytes();
    const bytes = this.sequenceBytes(length + 1);
    return new TurboQuantError(
      "out_of_memory",
      `prompt: ${length} tokens need ${bytes} bytes of KV cache, the budget is ${budgetBytes}; shorten the prompt, or load with a larger budget (--kv-budget)`,
      { tokens: length, bytes, budgetBytes },
    );
  }

  /** What a step adds to windows, which move on when it ends. */
  #stepBytes(stepTokens: number): number {
    return this.#cache.layers.reduce((sum, { main, reach, residual }) => {
      let bytes = reach.slidingWindow > 0 ? Math.ceil(stepTokens / main.pageTokens) * main.numBytes : 0;
      if (residual && residual.window > 0) {
        bytes += Math.ceil(stepTokens / residual.layout.pageTokens) * residual.layout.numBytes;
      }
      return sum + bytes;
    }, 0);
  }

  /** Bytes of whole pages that sequences with the same beginning surely share; those of sliding windows move on. */
  #wholePages(tokens: number): number {
    return this.#cache.layers.reduce((sum, { main, reach }) => {
      return reach.slidingWindow > 0 ? sum : sum + Math.floor(tokens / main.pageTokens) * main.numBytes;
    }, 0);
  }
}
