/**
 * @file Greedy continuations: after how many tokens does a cache format say something other than the exact cache?
 *
 * The exact cache writes the continuations. Each format is then fed prompt and continuation in one prefill. The first position
 * with another most likely token is where the format's own greedy text would differ: up to there both have read the same
 * tokens, and the result of a step does not depend on how many tokens it has.
 */
import type { Sequence } from "../cache/sequence.ts";
import { yieldNow } from "../engine/yield-now.ts";
import { TurboQuantError } from "../errors.ts";
import { CounterRng } from "../math/rng.ts";
import type { Contender } from "./compare.ts";
import { rowStats } from "./divergence.ts";
import { wilson } from "./intervals.ts";

export interface GreedyPrompt {
  readonly prompt: Int32Array;
  /** The exact cache's text, with the end-of-sequence token if it came. */
  readonly continuation: readonly number[];
}

export interface GreedySummary {
  readonly prompts: number;
  readonly promptTokens: number;
  /** The most tokens in a continuation. */
  readonly tokens: number;
  /** Share of continuations that are the same to the end, with a 95 % interval. */
  readonly exactMatch: number;
  readonly exactMatchLow: number;
  readonly exactMatchHigh: number;
  /** Median index of the first different token; null when more than half never differ. */
  readonly firstDivergenceMedian: number | null;
  /** Share of all continuation tokens that come before the first different one. */
  readonly tokensBeforeDivergence: number;
  /** Index of the first different token for each prompt, from 0; null where none differs. */
  readonly firstDivergence: readonly (number | null)[];
}

/** Tokens in a prompt: twice the default window, so that half of it is read as codes. */
export const GREEDY_PROMPT_TOKENS = 256;
/** Number of continuations written together. */
export const GREEDY_BATCH = 16;
const STREAM_GREEDY = 0x97ee;

/**
 * `count` pieces of a text's tokens, one from each of `count` equal stretches. They overlap when the text is short.
 * @throws TurboQuantError invalid_argument — the text is shorter than one prompt
 */
export function greedyPrompts(ids: ArrayLike<number>, count: number, promptTokens: number, seed = 0): Int32Array[] {
  if (ids.length < promptTokens) {
    throw new TurboQuantError(
      "invalid_argument",
      `eval: the text has ${ids.length} tokens, fewer than one greedy prompt of ${promptTokens}; pass a longer --text or drop --greedy`,
      { tokens: ids.length, promptTokens },
    );
  }
  const all = Int32Array.from(ids);
  const rng = new CounterRng(seed, STREAM_GREEDY);
  const places = all.length - promptTokens + 1;
  return Array.from({ length: count }, (_, i) => {
    const start = Math.min(places - 1, Math.floor(((i + rng.uniform(i)) * places) / count));
    return all.slice(start, start + promptTokens);
  });
}

export interface GreedyOptions {
  readonly tokens: number;
  /** Tokens that end a continuation. */
  readonly endTokens: ReadonlySet<number>;
  readonly signal?: AbortSignal | undefined;
}

/** Writes the exact cache's greedy continuations, of up to `tokens` tokens each. */
export async function continueGreedily(
  base: Contender,
  prompts: readonly Int32Array[],
  options: GreedyOptions,
): Promise<GreedyPrompt[]> {
  const results: GreedyPrompt[] = [];
  for (let at = 0; at < prompts.length; at += GREEDY_BATCH) {
    results.push(...(await continueBatch(base, prompts.slice(at, at + GREEDY_BATCH), options)));
  }
  return results;
}

interface Stream {
  readonly sequence: Sequence;
  readonly continuation: number[];
}

async function continueBatch(
  { runner, cache }: Contender,
  prompts: readonly Int32Array[],
  { tokens, endTokens, signal }: GreedyOptions,
): Promise<GreedyPrompt[]> {
  const vocab = runner.decoder.config.vocabSize;
  const streams: Stream[] = [];
  try {
    for (const prompt of prompts) {
      const sequence = cache.createSequence();
      streams.push({ sequence, continuation: [] });
      const logits = await runner.prefill(sequence, prompt, { signal });
      streams.at(-1)!.continuation.push(rowStats(logits).argmax);
    }
    const isOpen = ({ continuation }: Stream): boolean =>
      continuation.length < tokens && !endTokens.has(continuation.at(-1)!);
    for (let live = streams.filter(isOpen); live.length > 0; live = live.filter(isOpen)) {
      signal?.throwIfAborted();
      const logits = await runner.step(
        live.map(({ sequence, continuation }) => ({
          sequence,
          tokens: [continuation.at(-1)!],
          logits: "last" as const,
        })),
      );
      for (const [i, { continuation }] of live.entries()) {
        continuation.push(rowStats(logits.subarray(i * vocab, (i + 1) * vocab)).argmax);
      }
      await yieldNow();
    }
    return prompts.map((prompt, i) => ({ prompt, continuation: streams[i]!.continuation }));
  } finally {
    for (const { sequence } of streams) sequence.release();
  }
}

/** Index of the first continuation token that this contender would not have chosen; null when there is none. */
export async function firstDivergence(
  { runner, cache }: Contender,
  { prompt, continuation }: GreedyPrompt,
  signal?: AbortSignal,
): Promise<number | null> {
  const vocab = runner.decoder.config.vocabSize;
  const sequence = cache.createSequence();
  try {
    const knownLength = prompt.length;
    await runner.prefill(sequence, prompt.subarray(0, -1), { logits: "none", signal, knownLength });
    let first: number | null = null;
    // Row i predicts token i of the continuation.
    const fed = [prompt.at(-1)!, ...continuation.slice(0, -1)];
    await runner.prefill(sequence, fed, {
      logits: "all",
      signal,
      knownLength,
      onLogits: (logits, start, count) => {
        for (let row = 0; row < count && first === null; row++) {
          const index = start - (prompt.length - 1) + row;
          if (rowStats(logits.subarray(row * vocab, (row + 1) * vocab)).argmax !== continuation[index]) first = index;
        }
      },
    });
    return first;
  } finally {
    sequence.release();
  }
}

export function summarizeGreedy(
  prompts: readonly GreedyPrompt[],
  divergences: readonly (number | null)[],
  tokens: number,
): GreedySummary {
  const same = divergences.filter((index) => index === null).length;
  const { low, high } = wilson(same, prompts.length);
  // Continuations that never differ count as infinity, so they sort last and a median between a number and infinity is infinity.
  const sorted = Float64Array.from(divergences, (index) => index ?? Number.POSITIVE_INFINITY).sort();
  const median = (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2;
  const total = prompts.reduce((sum, { continuation }) => sum + continuation.length, 0);
  const equal = divergences.reduce<number>((sum, index, i) => sum + (index ?? prompts[i]!.continuation.length), 0);
  return {
    prompts: prompts.length,
    promptTokens: prompts[0]!.prompt.length,
    tokens,
    exactMatch: same / prompts.length,
    exactMatchLow: low,
    exactMatchHigh: high,
    firstDivergenceMedian: Number.isFinite(median) ? median : null,
    tokensBeforeDivergence: equal / total,
    firstDivergence: divergences,
  };
}
