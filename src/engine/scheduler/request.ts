/** @file What the scheduler works on: a request, and its choices, the continuations that answer it. */
import type { LayerSegments } from "../../cache/segments.ts";
import type { Sequence } from "../../cache/sequence.ts";
import type { Continuation } from "../continuation.ts";
import { GENERATE_ONLY, type GenerateOptions, type GenerationChunk, type TokenLogprob } from "../generation.ts";
import type { SamplingOptions } from "../sampling-params.ts";
import type { OutputQueue } from "./output-queue.ts";

export interface ScheduleOptions extends GenerateOptions {
  /** Continuations of the prompt, each with a seed of its own (seed + index); default 1. */
  readonly n?: number;
  /** Whose request it is: clients share the machine evenly. Default: one client for all. */
  readonly client?: string;
  /** Use what is cached of the prompt's beginning, and keep the result for the next one; default true. */
  readonly cachePrompt?: boolean;
  /** Report the log-probability of every prompt token, and this many most likely ones at each place. */
  readonly promptLogprobs?: number;
  /** Read the prompt and generate nothing. */
  readonly scoreOnly?: boolean;
  /** The slot to run in, if it is free. */
  readonly slot?: number;
  /** Report the bytes of each continuation's cache: with its first token, at every full page, and at its end. */
  readonly reportsCache?: boolean;
}

/** Options that say nothing about how tokens are chosen. */
export const REQUEST_ONLY: Readonly<Record<Exclude<keyof ScheduleOptions, keyof SamplingOptions>, true>> = {
  ...GENERATE_ONLY,
  n: true,
  client: true,
  cachePrompt: true,
  promptLogprobs: true,
  scoreOnly: true,
  slot: true,
  reportsCache: true,
};

/** A continuation's cache from its allocated pages; those it shares with other sequences count in full. */
export interface CacheReport {
  readonly tokens: number;
  readonly layers: readonly LayerSegments[];
}

/** How likely a prompt token was; null for the first one, which nothing precedes. */
export type PromptLogprob = (TokenLogprob & { readonly top: readonly TokenLogprob[] }) | null;

/** A piece of output; the last one of each index has a `finishReason`. */
export interface ScheduledChunk extends GenerationChunk {
  /** Which of the n continuations it belongs to. */
  readonly index: number;
  /** Once, before anything else of a request that asked for them. */
  readonly promptLogprobs?: readonly PromptLogprob[];
  /** The slot that the continuation runs in. */
  readonly slot?: number;
  /** Now and then, for requests that asked for it; not for a continuation that has no pages at the moment. */
  readonly cache?: CacheReport;
}

export interface Request {
  readonly ids: readonly number[];
  /** Of the prompt's whole pages; empty when the cache is not to be used. */
  readonly hashes: readonly string[];
  /** Whether cached prefixes may serve it, and its own may be kept. */
  readonly mayCache: boolean;
  readonly options: ScheduleOptions;
  readonly maxNewTokens: number;
  readonly output: OutputQueue<ScheduledChunk>;
  /** Arrival; the earlier one is preempted later. */
  readonly order: number;
  readonly submittedAt: number;
  readonly choices: Choice[];
  readonly promptLogprobs: PromptLogprob[];
  startedAt: number;
  /** First token of any continuation. */
  firstAt: number;
  /** Prompt tokens taken from the cache. */
  cachedTokens: number;
  /** The caller no longer listens, or its signal was aborted. */
  isCancelled: boolean;
}

/**
 * One of the `n` continuations of a request while the scheduler works on it, as `choices` of an OpenAI answer are: what it says
 * (`continuation`) and the pages that it has for it.
 */
export interface Choice {
  readonly request: Request;
  readonly index: number;
  readonly continuation: Continuation;
  /** Prompt and output so far; the sequence may lag behind. */
  readonly tokens: number[];
  /** Null while it waits or is preempted. */
  sequence: Sequence | null;
  /** Its pages as a snapshot while it is preempted; null when it is not, or has to be computed again. */
  saved: Uint8Array | null;
  /** Whole pages that it has in common with other choices, so that admission counts them once. */
  shared: { readonly owner: object; readonly tokens: number } | null;
  slot: number;
  isOver: boolean;
}

/** Whether `a` came after `b`, or is a later choice of the same request: the latest is preempted first. */
export const isLater = (a: Choice, b: Choice): boolean =>
  a.request.order > b.request.order || (a.request === b.request && a.index > b.index);

/** How many tokens are known and not yet in the cache. */
export const pendingTokens = (choice: Choice): number => choice.tokens.length - (choice.sequence?.length ?? 0);

/** Whether the next step of a choice is one generated token. */
export const isDecoding = (choice: Choice): boolean =>
  pendingTokens(choice) === 1 && choice.tokens.length > choice.request.ids.length;
