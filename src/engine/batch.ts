/** @file Several generations decoded together: many prompts, or many continuations of one forked prompt. */

import type { Sequence } from "../cache/sequence.ts";
import { Continuation } from "./continuation.ts";
import { collect, type FinishReason, type GenerateOptions, type GenerationResult } from "./generation.ts";
import type { LLM } from "./llm.ts";
import { nthSeed, resolveSamplingParams } from "./sampling-params.ts";
import type { Session } from "./session.ts";
import { yieldNow } from "./yield-now.ts";

interface Stream {
  readonly sequence: Sequence;
  readonly tokens: number[];
  readonly promptTokens: number;
  readonly continuation: Continuation;
  output: string;
  generated: number[];
  logits: Float32Array;
  finish: FinishReason | null;
  firstAt: number;
  endAt: number;
}

export interface BatchOptions extends GenerateOptions {
  /** Continuations a prompt, each with its own random stream; default 1. */
  readonly n?: number;
}

/**
 * Generates for every prompt at once: each is prefilled once, forked `n` times, and all streams take one step together.
 * returns: results in the order of prompts, then of continuations
 */
export async function generateBatch(
  llm: LLM,
  prompts: readonly (string | ArrayLike<number>)[],
  options: BatchOptions = {},
): Promise<GenerationResult[]> {
  const { n = 1, signal, onPrefill, ignoreEos = false, ...sampling } = options;
  const params = resolveSamplingParams({ ...llm.samplingDefaults, ...sampling });
  const started = performance.now();
  const streams: Stream[] = [];
  try {
    for (const prompt of prompts) {
      const ids = typeof prompt === "string" ? llm.tokenizer.encode(prompt) : prompt;
      const first = llm.cache.createSequence();
      const made: Sequence[] = [first];
      try {
        const logits = await llm.runner.prefill(first, ids, { signal, onProgress: onPrefill });
        for (let i = 1; i < n; i++) made.push(first.fork());
        for (const [i, sequence] of made.entries()) {
          streams.push({
            sequence,
            tokens: Array.from(ids),
            promptTokens: ids.length,
            continuation: new Continuation(llm, { ...params, seed: nthSeed(params.seed, i) }, ignoreEos),
            output: "",
            generated: [],
            logits,
            finish: null,
            firstAt: 0,
            endAt: 0,
          });
        }
      } catch (error) {
        for (const sequence of made) sequence.release();
        throw error;
      }
    }
    const prefillMs = performance.now() - started;
    for (;;) {
      for (const stream of streams) if (!stream.finish) take(stream);
      const live = streams.filter((s) => !s.finish);
      if (live.length === 0) break;
      await yieldNow();
      signal?.throwIfAborted();
      const logits = await llm.runner.step(
        live.map((s) => ({ sequence: s.sequence, tokens: [s.tokens.at(-1)!], logits: "last" as const })),
      );
      const vocab = llm.config.vocabSize;
      for (const [i, stream] of live.entries()) stream.logits = logits.subarray(i * vocab, (i + 1) * vocab);
    }
    return streams.map((s) => result(s, started, prefillMs));
  } finally {
    for (const stream of streams) stream.sequence.release();
  }
}

/** Samples one token of a stream and decides whether it ends. */
function take(stream: Stream): void {
  const sample = stream.continuation.sampler.sample(stream.logits, stream.tokens);
  stream.firstAt ||= performance.now();
  stream.tokens.push(sample.token);
  stream.generated.push(sample.token);
  const { chunk, finishReason } = stream.continuation.take(sample, stream.tokens.length);
  stream.output += chunk.text;
  stream.finish = finishReason;
  if (finishReason) stream.endAt = performance.now();
}

function result(s: Stream, started: number, prefillMs: number): GenerationResult {
  const decodeMs = s.endAt - s.firstAt;
  return {
    text: s.output,
    tokens: s.generated,
    finishReason: s.finish ?? "aborted",
    usage: { promptTokens: s.promptTokens, cachedTokens: 0, completionTokens: s.generated.length },
    timings: {
      ttftMs: s.firstAt - started,
      prefillMs,
      decodeMs,
      prefillTokPerSec: prefillMs > 0 ? (s.promptTokens * 1000) / prefillMs : 0,
      decodeTokPerSec: decodeMs > 0 ? ((s.generated.length - 1) * 1000) / decodeMs : 0,
    },
  };
}

/** The result of one session's generation, for callers who do not stream. */
export function complete(session: Session, prompt: string, options?: GenerateOptions): Promise<GenerationResult> {
  return collect(session.generate(prompt, options));
}
