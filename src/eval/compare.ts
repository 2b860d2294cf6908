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
import { klDivergence, probabilities, type RowStats, rowStats } from "./divergence.ts";
import type { ExactCache } from "./exact-cache.ts";
import { NO_LIMIT, type TimeLimit } from "./time-limit.ts";

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

/** Number of positions with the base's most likely token. */
export const agreements = ({ agrees }: TokenRecord): number => agrees.filter(Boolean).length;

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
  /** Whether the most likely token is also the base's, at every position; empty for the base itself. */
  readonly agrees: boolean[];
  /** Allocated bytes of the cache after the last text; 0 for a base whose rows were known. */
  kvBytes: number;
}

export function emptyRecord(): TokenRecord {
  return { nlls: [], klds: [], agrees: [], kvBytes: 0 };
}

export interface CompareOptions {
  readonly signal?: AbortSignal | undefined;
  /** Reports progress in token passes, of which there are tokens × (1 + contenders). */
  readonly onTokens?: (done: number) => void;
  /**
   * Receives every sequence and the number of tokens that all of them have been fed, the base's first, which is null when its rows were
   * known; they are released afterwards.
   */
  readonly onFed?: (sequences: readonly (Sequence | null)[], tokens: number) => Promise<void>;
  /** Keeps what the base gave for the text, and gives it again. */
  readonly exact?: ExactCache | null;
  /** Ends the comparison after any block but the first; by hand also before it. */
  readonly limit?: TimeLimit;
}

/**
 * Feeds `tokens` from an empty cache to the base and every other contender, and adds the results to the records: those of whole blocks,
 * the same tokens for all.
 *
 * baseRecord and records[i] belong to base and others[i]
 * returns: how many tokens were compared; fewer than there are when the limit came first
 */
export async function compareOnTokens(
  tokens: Int32Array,
  base: Contender,
  baseRecord: TokenRecord,
  others: readonly Contender[],
  records: readonly TokenRecord[],
  options: CompareOptions = {},
): Promise<number> {
  const { signal, onTokens, exact = null, limit = NO_LIMIT } = options;
  const { vocabSize, hiddenSize } = base.runner.decoder.config;
  const known = (await exact?.rows(tokens)) ?? null;
  const kept: Float32Array[] | null = !known && exact?.takesRows(tokens.length) ? [] : null;
  const all = [base, ...others];
  const results = [baseRecord, ...records];
  const sequences: (Sequence | null)[] = [];
  const p = new Float64Array(others.length > 0 ? Math.min(tokens.length, base.runner.chunkTokens) * vocabSize : 0);
  let passes = 0;
  let done = 0;
  try {
    for (const [i, { cache }] of all.entries()) sequences.push(i === 0 && known ? null : cache.createSequence());

    const baseLogits = async (block: Int32Array): Promise<Float32Array> => {
      const { runner } = base;
      const at = done * hiddenSize;
      if (known) return runner.decoder.headLogits(known.subarray(at, at + block.length * hiddenSize));
      const work = { sequence: sequences[0]!, tokens: block, logits: "all" as const, knownLength: tokens.length };
      if (!kept) return runner.step([work]);
      const rows = await runner.stepToHead([work]);
      kept.push(rows);
      return runner.decoder.headLogits(rows);
    };
    /** The records of one block, or null when it was to end in the middle. */
    const compareBlock = async (block: Int32Array, next: Int32Array): Promise<TokenRecord[] | null> => {
      const own = all.map(emptyRecord);
      let reference: { logits: Float32Array; stats: RowStats[] } | null = null;
      for (const [i, { runner }] of all.entries()) {
        signal?.throwIfAborted();
        if (done > 0 ? limit.isOver : limit.isEnded) return null;
        const work = { sequence: sequences[i]!, tokens: block, logits: "all" as const, knownLength: tokens.length };
        const logits = i === 0 ? await baseLogits(block) : await runner.step([work]);
        const stats = Array.from(block, (_, row) => rowStats(rowOf(logits, row, vocabSize)));
        const record = own[i]!;
        next.forEach((token, row) => {
          record.nlls.push(stats[row]!.logSumExp - logits[row * vocabSize + token]!);
        });
        if (!reference) {
          reference = { logits, stats };
          if (others.length > 0)
            stats.forEach((each, row) => {
              probabilities(rowOf(logits, row, vocabSize), each, rowOf(p, row, vocabSize));
            });
        } else {
          for (let row = 0; row < block.length; row++) {
            const [mine, ref] = [stats[row]!, reference.stats[row]!];
            const rows = [rowOf(reference.logits, row, vocabSize), rowOf(logits, row, vocabSize)] as const;
            record.klds.push(klDivergence(rows[0], ref, rows[1], mine, rowOf(p, row, vocabSize)));
            record.agrees.push(mine.argmax === ref.argmax);
          }
        }
        onTokens?.((passes += block.length));
        await yieldNow();
      }
      return own;
    };

    while (done < tokens.length) {
      const block = tokens.subarray(done, done + base.runner.chunkTokens);
      const own = await compareBlock(block, tokens.subarray(done + 1, done + 1 + block.length));
      if (!own) break;
      for (const [i, { nlls, klds, agrees }] of own.entries()) {
        const record = results[i]!;
        for (const nll of nlls) record.nlls.push(nll);
        for (const kld of klds) record.klds.push(kld);
        for (const agree of agrees) record.agrees.push(agree);
      }
      done += block.length;
      limit.known();
    }
    if (kept && done === tokens.length) await exact!.keepRows(tokens, kept);
    for (const [i, sequence] of sequences.entries()) results[i]!.kvBytes = sequence?.numBytes ?? 0;
    if (done > 0) await options.onFed?.(sequences, done);
    return done;
  } finally {
    for (const sequence of sequences) sequence?.release();
  }
}

function rowOf<T extends Float32Array | Float64Array>(rows: T, row: number, vocabSize: number): T {
  return rows.subarray(row * vocabSize, (row + 1) * vocabSize) as T;
}
