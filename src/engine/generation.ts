/** @file The output of a generation: pieces of text, usage, timings. */
import type { Grammar, JsonSchema } from "./grammar/grammar.ts";
import type { SamplingOptions } from "./sampling-params.ts";
import type { Speculate } from "./speculation/speculation-options.ts";

export type FinishReason = "stop" | "length" | "aborted";

export interface TokenLogprob {
  readonly token: number;
  readonly text: string;
  readonly logprob: number;
}

export interface Usage {
  readonly promptTokens: number;
  /** Number of prompt tokens that were in the cache already. */
  readonly cachedTokens: number;
  /**
   * Number of earlier tokens that were computed again, because a rewind had to go back further: the 16-bit copies of the
   * residual window were gone. Absent when there were none.
   */
  readonly rereadTokens?: number;
  readonly completionTokens: number;
  /** Number of tokens that were drafted, with `speculate`; absent without. */
  readonly draftedTokens?: number;
  /** Those of them that became part of the answer. */
  readonly acceptedTokens?: number;
}

export interface Timings {
  /** Milliseconds from the call to the first sampled token. */
  readonly ttftMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly prefillTokPerSec: number;
  /** Tokens after the first one per second; 0 when there is only one. */
  readonly decodeTokPerSec: number;
}

/** One piece of output. The last piece of a generation has `finishReason`, `usage` and `timings`. */
export interface GenerationChunk {
  /** Text that became certain with this token. May be empty, within a character or at the beginning of a stop string. */
  readonly text: string;
  /** Absent in a last piece that only has held-back text. */
  readonly token?: number;
  readonly logprob?: number;
  /** The most likely tokens, if `logprobs` asks for them. */
  readonly topLogprobs?: readonly TokenLogprob[];
  readonly finishReason?: FinishReason;
  /** The stop string that ended the generation. */
  readonly stop?: string;
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

/** How one prompt is continued. */
export interface RunOptions extends SamplingOptions {
  readonly signal?: AbortSignal;
  readonly onPrefill?: (done: number, total: number) => void;
  /**
   * Drafts tokens ahead and checks several in one step (speculative decoding). The answer is the one without, token for token, greedy and drawn,
   * where the backend computes rows alike whatever their number (docs/speculation.md). Default: `off`.
   */
  readonly speculate?: Speculate | undefined;
}

export interface GenerateOptions extends RunOptions {
  /**
   * Binds the answer to JSON that fits this JSON Schema. The model should be told what is wanted as well. An answer that ends with
   * `length` is cut off.
   */
  readonly schema?: JsonSchema;
  /** Binds the answer to a regular expression, a list of texts or a context-free grammar, in place of `schema`. */
  readonly grammar?: Grammar;
}

/** Options that do not concern the choice of tokens. */
export const GENERATE_ONLY: Readonly<Record<Exclude<keyof RunOptions, keyof SamplingOptions>, true>> = {
  signal: true,
  onPrefill: true,
  speculate: true,
};

/** Facts about the prompt for usage and timings of its continuations. Times are by `performance.now()`. */
export interface PromptReport {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** See `Usage.rereadTokens`; 0 for none. */
  readonly rereadTokens: number;
  /** Number of tokens that were computed before the first one was drawn. */
  readonly fedTokens: number;
  readonly submittedAt: number;
  /** When the first step began; 0 if there was none. */
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
