/** @file Converts request fields to the scheduler's options. */
import type { LLM } from "../engine/llm.ts";
import type { ScheduleOptions } from "../engine/scheduler/request.ts";
import { ApiError } from "./api-error.ts";
import type { CommonRequest } from "./request-schema.ts";

/** OpenAI's default, used when the model's generation_config.json has none. */
const DEFAULT_TEMPERATURE = 1;

/** Every integer is mapped to one of 2³² seeds; without a seed each request gets a random one. */
function seedOf(seed: number | null | undefined): number {
  if (seed === null || seed === undefined) return Math.floor(Math.random() * 2 ** 32);
  return ((seed % 2 ** 32) + 2 ** 32) % 2 ** 32;
}

function biasOf(bias: Readonly<Record<string, number>>, vocabSize: number): [number, number][] {
  return Object.entries(bias).map(([key, value]) => {
    const token = Number(key);
    if (token >= vocabSize) {
      throw new ApiError(400, `logit_bias: expected tokens from 0 to ${vocabSize - 1}, got ${key}`, {
        code: "invalid_value",
        param: "logit_bias",
      });
    }
    return [token, value];
  });
}

/** Options common to both kinds of generation. The caller adds `maxNewTokens`, log-probabilities and constraints. */
export function samplingOptions(request: CommonRequest, llm: LLM): ScheduleOptions {
  const { samplingDefaults } = llm;
  const repetition = request.repetition_penalty ?? request.repeat_penalty;
  const stop = typeof request.stop === "string" ? [request.stop] : request.stop;
  return {
    temperature: request.temperature ?? samplingDefaults.temperature ?? DEFAULT_TEMPERATURE,
    seed: seedOf(request.seed),
    // vLLM writes −1 for "all tokens".
    ...(typeof request.top_k === "number" && { topK: Math.max(0, request.top_k) }),
    ...(typeof request.top_p === "number" && { topP: request.top_p }),
    ...(typeof request.min_p === "number" && { minP: request.min_p }),
    ...(typeof repetition === "number" && { repetitionPenalty: repetition }),
    ...(typeof request.frequency_penalty === "number" && { frequencyPenalty: request.frequency_penalty }),
    ...(typeof request.presence_penalty === "number" && { presencePenalty: request.presence_penalty }),
    ...(request.logit_bias && { logitBias: biasOf(request.logit_bias, llm.config.vocabSize) }),
    ...(stop && { stop }),
    ...(request.ignore_eos && { ignoreEos: true }),
    ...(request.stop_token_ids && { stopTokens: request.stop_token_ids }),
    ...(typeof request.min_tokens === "number" && { minNewTokens: request.min_tokens }),
    ...(request.skip_special_tokens === false && { skipSpecialTokens: false }),
    ...(request.cache_prompt === false && { cachePrompt: false }),
    ...(typeof request.id_slot === "number" && request.id_slot >= 0 && { slot: request.id_slot }),
    ...(request.return_kv_cache && { reportsCache: true }),
    n: request.n ?? 1,
  };
}
