/**
 * @file Feeds the same tokens to several cache formats side by side, teacher forced, and compares their logits row by row.
 *
 * Only one block of the base's logits and one of a format's exist at a time: with a vocabulary of 150,000 a row takes 600 KB.
 */

import type { KvCache } from "../cache/kv-cache.ts";
import type { Sequence } from "../cache/sequence.ts";
import { Runner } from "../engine/runner.ts";
import { yieldNow } from "../engine/yield-now.ts";
import type { Decoder } from "../models/decoder.ts";
import { klDivergence, type RowStats, rowStats } from "./divergence.ts";

/** The most logits in a block (32 MiB of f32). */
const BLOCK_LOGITS = 2 ** 23;

/**
 * The most tokens in a step. With small blocks all but the last 128 tokens have been through the cache format before they are
 * read, as in decoding ("pseudo-decode").
 */
const BLOCK_TOKENS = 128;

/** Rows of a step for this vocabulary: at most `BLOCK_TOKENS`, and at most `BLOCK_LOGITS` logits. */
function blockRows(vocabSize: number): number {
  return Math.max(16, Math.min(BLOCK_TOKENS, Math.floor(BLOCK_LOGITS / vocabSize / 16) * 16));
}

/** One of the compared cache formats. All share weights and backend through `Decoder.withFormat`. */
export interface Contender {
  readonly runner: Runner;
  readonly cache: KvCache;
}

export function makeContender(decoder: Decoder, contextLength: number): Contender {
  const chunkTokens = blockRows(decoder.config.vocabSize);
  return { runner: new Runner(decoder, { chunkTokens, contextLength }), cache: decoder.createCache() };
}

/** Results of one contender token by token, over one or more texts. */
export interface TokenRecord {
  /** Negative log-likelihoods of tokens 2 … n of each text, in nats. */
  readonly nlls: number[];
  /** KL(base ‖ this format) at every position; all 0 for the base itself. */
  readonly klds: number[];
  /** Number of positions whose most likely token is also the base's. */
  agreements: number;
  /** Allocated bytes of the cache after the last text. */
  kvBytes: number;
}

export function emptyRecord(): TokenRecord {
  return { nlls: [], klds: [], agreements: 0, kvBytes: 0 };
}

export interface CompareOptions {
  readonly signal?: AbortSignal | undefined;
  /** Reports progress in token passes, of which there are tokens × (1 + contenders). */
  readonly onTokens?: (done: number) => void;
  /** Receives every sequence when the whole text has been fed, the base's first; they are released afterwards. */
  readonly onFed?: (sequences: readonly Sequence[]) => Promise<void>;
}

/**
 * Feeds `tokens` from an empty cache to the base and every other contender, and adds the results to the records.
 *
 * baseRecord and records[i] belong to base and others[i]
 */
export async function compareOnTokens(
  tokens: Int32Array,
  base: Contender,
  baseRecord: TokenRecord,
  others: readonly Contender[],
  records: readonly TokenRecord[],
  options: CompareOptions = {},
): Promise<void> {
  const { vocabSize } = base.runner.decoder.config;
  const all = [base, ...others];
  const sequences: Sequence[] = [];
  let passes = 0;
  try {
    for (const { cache } of all) sequences.push(cache.createSequence());
    for (let start = 0; start < tokens.length; start += base.runner.chunkTokens) {
      const block = tokens.subarray(start, start + base.runner.chunkTokens);
      const next = tokens.subarray(start + 1, start + 1 + block.length);
      let reference: { logits: Float32Array; stats: RowStats[] } | null = null;
      for (const [i, { runner }] of all.entries()) {
        options.signal?.throwIfAborted();
        const sequence = sequences[i]!;
        const logits = await runner.step([{ sequence, tokens: block, logits: "all", knownLength: tokens.length }]);
        const stats = Array.from(block, (_, row) => rowStats(rowOf(logits, row, vocabSize)));
        const record = i === 0 ? baseRecord : records[i - 1]!;
        next.forEach((token, row) => {
          record.nlls.push(stats[row]!.logSumExp - logits[row * vocabSize + token]!);
        });
        if (!reference) {
          reference = { logits, stats };
        } else {
          for (let row = 0; row < block.length; row++) {
            const [own, ref] = [stats[row]!, reference.stats[row]!];
            record.klds.push(
              klDivergence(rowOf(reference.logits, row, vocabSize), ref, rowOf(logits, row, vocabSize), own),
            );
            if (own.argmax === ref.argmax) record.agreements++;
          }
        }
        options.onTokens?.((passes += block.length));
        await yieldNow();
      }
    }
    for (const [i, sequence] of sequences.entries())
      (i === 0 ? baseRecord : records[i - 1]!).kvBytes = sequence.numBytes;
    await options.onFed?.(sequences);
  } finally {
    for (const sequence of sequences) sequence.release();
  }
}

function rowOf(logits: Float32Array, row: number, vocabSize: number): Float32Array {
  return logits.subarray(row * vocabSize, (row + 1) * vocabSize);
}
