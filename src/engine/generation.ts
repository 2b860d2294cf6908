/** @file What a generation yields and how it ends. */
import type { SamplingOptions } from "./sampling-params.ts";

export type FinishReason = "stop" | "length" | "aborted";

export interface TokenLogprob {
  readonly token: number;
  readonly text: string;
  readonly logprob: number;
}

export interface Usage {
  readonly promptTokens: number;
  /** Prompt tokens that were already in the cache. */
  readonly cachedTokens: number;
  /**
   * Earlier tokens that are computed again, because a rewind went back to where their 16-bit window is gone. Absent where none
   * are.
   */
  readonly rereadTokens?: number;
  readonly completionTokens: number;
}

export interface Timings {
  /** From the call to the first sampled token. */
  readonly ttftMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly prefillTokPerSec: number;
  /** Tokens after the first a second; 0 when there is only one. */
  readonly decodeTokPerSec: number;
}

/** One piece of output. The last piece of a generation has a `finishReason`, `usage` and `timings`. */
export interface GenerationChunk {
  /** Text that became certain with this token; may be empty (half a character, or the beginning of a stop string). */
  readonly text: string;
  /** Absent in a last piece that only flushes text. */
  readonly token?: number;
  readonly logprob?: number;
  /** Most likely tokens, when `logprobs` asks for them. */
  readonly topLogprobs?: readonly TokenLogprob[];
  readonly finishReason?: FinishReason;
  readonly usage?: Usage;
  readonly timings?: Timings;
}

export interface GenerationResult {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  readonly timings: Timings;
}

export interface GenerateOptions extends SamplingOptions {
  readonly signal?: AbortSignal;
  readonly onPrefill?: (done: number, total: number) => void;
}

/** Options that say nothing about how tokens are chosen. */
export const GENERATE_ONLY: Readonly<Record<Exclude<keyof GenerateOptions, keyof SamplingOptions>, true>> = {
  signal: true,
  onPrefill: true,
};

/** What is known of a prompt when one of its continuations ends; times by `performance.now()`. */
export interface PromptReport {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** See `Usage.rereadTokens`; 0 where none are. */
  readonly rereadTokens: number;
  /** Tokens that were computed before the first one was drawn. */
  readonly fedTokens: number;
  readonly submittedAt: number;
  /** When its first step began; 0 where none has. */
  readonly startedAt: number;
}

/** Collects a generation into one result. */
export async function collect(
  chunks: AsyncIterable<GenerationChunk> | Iterable<GenerationChunk>,
): Promise<GenerationResult> {
  let text = "";
  const tokens: number[] = [];
  let last: GenerationChunk | undefined;
  for await (const chunk of chunks) {
    text += chunk.text;
    if (chunk.token !== undefined) tokens.push(chunk.token);
    last = chunk;
  }
  if (!last?.finishReason || !last.usage || !last.timings) throw new Error("generation ended without a last chunk");
  return { text, tokens, finishReason: last.finishReason, usage: last.usage, timings: last.timings };
}
