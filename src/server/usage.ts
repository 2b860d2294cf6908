/** @file Token usage and timings of an answer, in OpenAI's and llama.cpp's terms. */
import type { Timings, Usage } from "../engine/generation.ts";

export interface WireUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** A prompt counts once, whatever the number of its continuations. */
export function sumUsage(prompts: readonly Usage[], continuations: readonly Usage[]): WireUsage {
  const sum = (list: readonly Usage[], field: keyof Usage): number =>
    list.reduce((total, usage) => total + (usage[field] ?? 0), 0);
  const promptTokens = sum(prompts, "promptTokens");
  const completionTokens = sum(continuations, "completionTokens");
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: sum(prompts, "cachedTokens") },
  };
}

/** llama.cpp's `timings` of one continuation, in milliseconds and tokens per second. */
export function wireTimings(usage: Usage, timings: Timings) {
  const prompt = usage.promptTokens - usage.cachedTokens;
  return {
    cache_n: usage.cachedTokens,
    prompt_n: prompt,
    prompt_ms: timings.prefillMs,
    prompt_per_second: timings.prefillTokPerSec,
    predicted_n: usage.completionTokens,
    predicted_ms: timings.decodeMs,
    predicted_per_second: timings.decodeTokPerSec,
    ttft_ms: timings.ttftMs,
    ...(usage.draftedTokens !== undefined && {
      draft_n: usage.draftedTokens,
      draft_n_accepted: usage.acceptedTokens ?? 0,
    }),
  };
}
