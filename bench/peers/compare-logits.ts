/** @file Our logits and llama.cpp's of the same file and the same tokens: divergence, agreement, greedy text and token ids. */
import type { LLM } from "../../src/engine/llm.ts";
import { klDivergence, mean, rowStats } from "../../src/eval/divergence.ts";
import { createContext, type LlamaModel, type LlamaSequence, logitsOf } from "./llama-peer.ts";

/** Rows of llama.cpp's logits at a time: they come as maps, which take a hundred bytes an entry. */
const ROWS = 16;
/** Tokens below this probability do not count for the largest difference: nobody draws them, and their logits are coarse. */
const LIKELY = 1e-4;

export interface Difference {
  readonly kldMean: number;
  readonly kldMax: number;
  /** Positions at which both have the same most likely token. */
  readonly sameTop: number;
  readonly positions: number;
  /** The largest |Δ ln p| of a token that the base gives at least a probability of 1e-4. */
  readonly logProbMax: number;
}

export interface GreedyComparison {
  /** Tokens that llama.cpp wrote. */
  readonly tokens: number;
  /** Index of the first token that we would have written differently; null for the same text. */
  readonly firstDifferent: number | null;
  /** There, by how much llama.cpp preferred its token to ours, in nats; null for the same text. */
  readonly margin: number | null;
}

/** Rows of `other` against those of `base`. */
export function difference(base: readonly Float32Array[], other: readonly Float32Array[]): Difference {
  const klds: number[] = [];
  let sameTop = 0;
  let logProbMax = 0;
  for (const [i, row] of base.entries()) {
    const [own, theirs] = [rowStats(row), rowStats(other[i]!)];
    klds.push(Math.max(0, klDivergence(row, own, other[i]!, theirs)));
    if (own.argmax === theirs.argmax) sameTop++;
    for (let token = 0; token < row.length; token++) {
      const logP = row[token]! - own.logSumExp;
      if (logP < Math.log(LIKELY)) continue;
      logProbMax = Math.max(logProbMax, Math.abs(logP - (other[i]![token]! - theirs.logSumExp)));
    }
  }
  return { kldMean: mean(klds), kldMax: Math.max(...klds), sameTop, positions: base.length, logProbMax };
}

/** A row of logits for each token, from an empty cache. */
export async function ourLogits({ runner, cache, config }: LLM, ids: readonly number[]): Promise<Float32Array[]> {
  const sequence = cache.createSequence();
  const rows: Float32Array[] = [];
  try {
    await runner.prefill(sequence, ids, {
      logits: "all",
      onLogits: (logits, _, count) => {
        for (let row = 0; row < count; row++) {
          rows.push(logits.slice(row * config.vocabSize, (row + 1) * config.vocabSize));
        }
      },
    });
    return rows;
  } finally {
    sequence.release();
  }
}

/** llama.cpp with a cache of f32 and without flash attention, which rounds. */
export async function withExactSequence<T>(
  model: LlamaModel,
  { contextSize, threads }: { contextSize: number; threads: number },
  work: (sequence: LlamaSequence) => Promise<T>,
): Promise<T> {
  const context = await createContext(model, {
    kv: "f32",
    contextSize,
    batchSize: ROWS,
    threads,
    flashAttention: false,
  });
  try {
    return await work(context.getSequence());
  } finally {
    await context.dispose();
  }
}

export async function theirLogits(
  sequence: LlamaSequence,
  ids: readonly number[],
  vocabSize: number,
): Promise<Float32Array[]> {
  const rows: Float32Array[] = [];
  for (let at = 0; at < ids.length; at += ROWS) {
    rows.push(...(await logitsOf(sequence, ids.slice(at, at + ROWS), vocabSize)));
  }
  return rows;
}

/** llama.cpp continues `prompt` greedily; the tokens and the logits that each was taken from. */
export async function theirGreedyText(
  sequence: LlamaSequence,
  prompt: readonly number[],
  count: number,
  vocabSize: number,
): Promise<{ tokens: number[]; rows: Float32Array[] }> {
  let last = (await theirLogits(sequence, prompt, vocabSize)).at(-1)!;
  const tokens: number[] = [];
  const rows: Float32Array[] = [];
  while (tokens.length < count) {
    rows.push(last);
    tokens.push(rowStats(last).argmax);
    if (tokens.length < count) last = (await logitsOf(sequence, [tokens.at(-1)!], vocabSize))[0]!;
  }
  return { tokens, rows };
}

/** Where our greedy text leaves llama.cpp's: up to there both have read the same, so its tokens are given to us. */
export async function compareGreedy(
  llm: LLM,
  prompt: readonly number[],
  { tokens, rows }: { tokens: readonly number[]; rows: readonly Float32Array[] },
): Promise<GreedyComparison> {
  const ours = (await ourLogits(llm, [...prompt, ...tokens.slice(0, -1)])).slice(prompt.length - 1);
  const own = ours.map((row) => rowStats(row).argmax);
  const first = own.findIndex((token, i) => token !== tokens[i]);
  if (first < 0) return { tokens: tokens.length, firstDifferent: null, margin: null };
  const margin = rows[first]![tokens[first]!]! - rows[first]![own[first]!]!;
  return { tokens: tokens.length, firstDifferent: first, margin };
}

/** Texts that the two tokenizers cut differently, of those given. */
export function differentlyCut(llm: LLM, model: LlamaModel, texts: readonly string[]): string[] {
  return texts.filter((text) => {
    const ours = Array.from(llm.tokenizer.encode(text, { addSpecialTokens: false }));
    return ours.join() !== model.tokenize(text).join();
  });
}
