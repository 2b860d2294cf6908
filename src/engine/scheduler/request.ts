/** @file The scheduler's data: a request, and its choices, each of which is one continuation of the prompt. */
import type { LayerSegments } from "../../cache/segments.ts";
import type { Sequence } from "../../cache/sequence.ts";
import type { Continuation } from "../continuation.ts";
import { GENERATE_ONLY, type GenerationChunk, type RunOptions, type TokenLogprob } from "../generation.ts";
import type { SamplingOptions } from "../sampling-params.ts";
import type { Speculator } from "../speculation/speculator.ts";
import type { RequestReport } from "./observer.ts";
import type { OutputQueue } from "./output-queue.ts";
import type { Pooling, RowPool } from "./row-pool.ts";

export interface ScheduleOptions extends RunOptions {
  /** Number of continuations, each with a seed of its own (seed + index); default 1. */
  readonly n?: number;
  /** Clients share the machine evenly. Default: all requests are from one client. */
  readonly client?: string;
  /** Whose prefixes and slots these are: nothing is shared between different ones. Default: all share everything. */
  readonly owner?: string;
  /** Reuse a cached prefix of the prompt, and cache the result for later requests; default true. */
  readonly cachePrompt?: boolean;
  /** Report the log-probability of every prompt token, with this many most likely tokens at each position. */
  readonly promptLogprobs?: number;
  /** Read the prompt and generate nothing. */
  readonly scoreOnly?: boolean;
  /** Read the prompt and give one vector of it, of unit length; nothing is generated. Nothing of the prompt is kept for others. */
  readonly pooling?: Pooling;
  /** Called once, when all is over, whether it came to its end or not. */
  readonly onFinish?: (report: RequestReport) => void;
  /** The slot to run in, if it is free. */
  readonly slot?: number;
  /** Report the bytes of each continuation's cache: with its first token, after every full page, and at its end. */
  readonly reportsCache?: boolean;
}

/** Options that do not concern the choice of tokens. */
export const REQUEST_ONLY: Readonly<Record<Exclude<keyof ScheduleOptions, keyof SamplingOptions>, true>> = {
  ...GENERATE_ONLY,
  n: true,
  client: true,
  owner: true,
  cachePrompt: true,
  promptLogprobs: true,
  scoreOnly: true,
  pooling: true,
  onFinish: true,
  slot: true,
  reportsCache: true,
};

/** Bytes of a continuation's cache as allocated; pages shared with other sequences count in full. */
export interface CacheReport {
  readonly tokens: number;
  readonly layers: readonly LayerSegments[];
}

/** Log-probability of a prompt token; null for the first one, which nothing precedes. */
export type PromptLogprob = (TokenLogprob & { readonly top: readonly TokenLogprob[] }) | null;

/** A piece of output. The last piece of each continuation has a `finishReason`. */
export interface ScheduledChunk extends GenerationChunk {
  /** Index of the continuation, from 0 to n − 1. */
  readonly index: number;
  /** Sent once, before all other pieces of a request that asked for them. */
  readonly promptLogprobs?: readonly PromptLogprob[];
  /** Sent once to a request that asked for `pooling`. */
  readonly embedding?: Float32Array;
  /** The slot that the continuation runs in. */
  readonly slot?: number;
  /** Sent from time to time if the request asked for it; never while the continuation has no pages. */
  readonly cache?: CacheReport;
}

export interface Request {
  readonly ids: readonly number[];
  /** Hashes of the prompt's whole pages; empty when the cache is not to be used. */
  readonly hashes: readonly string[];
  /** Before the first of the hashes: those with another one share nothing with it. */
  readonly root: string;
  /** Whether cached prefixes may be used for it, and whether its own may be cached. */
  readonly mayCache: boolean;
  readonly options: ScheduleOptions;
  readonly maxNewTokens: number;
  readonly output: OutputQueue<ScheduledChunk>;
  /** Order of arrival; later requests are preempted first. */
  readonly order: number;
  readonly submittedAt: number;
  readonly choices: Choice[];
  readonly promptLogprobs: PromptLogprob[];
  /** Of a request that asked for a vector of its prompt; null for others. */
  readonly pool: RowPool | null;
  startedAt: number;
  /** When the first token of any continuation was drawn. */
  firstAt: number;
  /** Number of prompt tokens taken from the cache. */
  cachedTokens: number;
  /** Whether the reader has left or the signal was aborted. */
  isCancelled: boolean;
}

/**
 * One of the `n` continuations of a request while the scheduler works on it (the word is that of OpenAI's answers): its output
 * (`continuation`) and the sequence with its pages.
 */
export interface Choice {
  readonly request: Request;
  readonly index: number;
  readonly continuation: Continuation;
  /** What drafts for it; null where nothing is to be drafted. */
  readonly speculator: Speculator | null;
  /** Prompt and output so far; the sequence may hold fewer of them. */
  readonly tokens: number[];
  /** null while the choice waits or is preempted. */
  sequence: Sequence | null;
  /** A snapshot of its sequence while it is preempted; null when it is not, or when its tokens have to be computed again. */
  saved: Uint8Array | null;
  /**
   * The whole pages that it shares with other choices; `owner` is equal
   * for choices that share, so that admission counts the pages once.
   */
  shared: { readonly owner: object; readonly tokens: number } | null;
  slot: number;
  isOver: boolean;
}

/** Whether `a` is preempted before `b`: it belongs to a later request, or is a later choice of the same one. */
const isLater = (a: Choice, b: Choice): boolean =>
  a.request.order > b.request.order || (a.request === b.request && a.index > b.index);

/** Puts a choice into a list in the order of arrival. */
export function insertByArrival(list: Choice[], choice: Choice): void {
  const at = list.findIndex((other) => isLater(other, choice));
  list.splice(at < 0 ? list.length : at, 0, choice);
}

/** Takes a choice out of a list, if it is there. */
export function removeFrom(list: Choice[], choice: Choice): void {
  const at = list.indexOf(choice);
  if (at >= 0) list.splice(at, 1);
}

/** Number of tokens that are known but not in the cache yet. */
export const pendingTokens = (choice: Choice): number => choice.tokens.length - (choice.sequence?.length ?? 0);

/** Whether the choice's next step is one generated token. */
export const isDecoding = (choice: Choice): boolean =>
  pendingTokens(choice) === 1 && choice.tokens.length > choice.request.ids.length;
