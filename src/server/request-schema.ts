/**
 * @file The fields that requests may have: OpenAI's, and common extensions of llama.cpp and vLLM.
 *
 * A field that would change the answer in a way we cannot provide is refused, not ignored. `null` means absent.
 */
import { z } from "zod";
import { POOLINGS } from "../engine/scheduler/row-pool.ts";
import { messages } from "./message-fields.ts";
import { reasoningFields } from "./reasoning-fields.ts";
import { acceptOnly, flag, ignored, real, seed, text, whole } from "./request-fields.ts";
import { structuredFields } from "./structured-fields.ts";
import { biasField, promptField, tokenList } from "./token-fields.ts";
import { toolFields } from "./tool-fields.ts";

const MAX_TOKENS = 2 ** 31;
const MAX_STOPS = 16;
const MAX_SALT = 1024;
const MAX_STOP_TOKENS = 256;
const MAX_SHOWN_TOKENS = 1 << 17;

const stopList = z.union([text.min(1), z.array(text.min(1)).max(MAX_STOPS)], {
  error: `expected a text or a list of up to ${MAX_STOPS} texts, none of them empty`,
});

const commonFields = {
  model: text.nullish(),
  stream: flag,
  stream_options: z
    .strictObject({ include_usage: flag, include_obfuscation: ignored }, { error: "expected {include_usage: true}" })
    .nullish(),
  n: whole(1, 1024),
  temperature: real(0, 100),
  top_p: real(0, 1),
  top_k: whole(-1, MAX_TOKENS),
  min_p: real(0, 1),
  repetition_penalty: real(0.01, 100),
  repeat_penalty: real(0.01, 100),
  frequency_penalty: real(-2, 2),
  presence_penalty: real(-2, 2),
  logit_bias: biasField.nullish(),
  seed,
  stop: stopList.nullish(),
  ignore_eos: flag,
  stop_token_ids: tokenList(MAX_STOP_TOKENS, "expected a list of token ids").nullish(),
  min_tokens: whole(0, MAX_TOKENS),
  skip_special_tokens: flag,
  spaces_between_special_tokens: ignored,
  cache_prompt: flag,
  // vLLM's: prompts share what is kept of them only with those of the same salt.
  cache_salt: text.max(MAX_SALT, `expected at most ${MAX_SALT} characters`).nullish(),
  id_slot: whole(-1, 1 << 20),
  return_kv_cache: flag,
  ...structuredFields,
  user: ignored,
  metadata: ignored,
  store: ignored,
  service_tier: ignored,
  safety_identifier: ignored,
  prompt_cache_key: ignored,
};

export const chatRequest = z.strictObject(
  {
    ...commonFields,
    messages,
    max_tokens: whole(1, MAX_TOKENS),
    max_completion_tokens: whole(1, MAX_TOKENS),
    // llama.cpp writes −1 for no limit.
    n_predict: whole(-1, MAX_TOKENS).refine((limit) => limit !== 0, "expected -1 for no limit, or at least 1"),
    logprobs: flag,
    top_logprobs: whole(0, 20),
    chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
    add_generation_prompt: flag,
    continue_final_message: flag,
    ...toolFields,
    ...reasoningFields,
    verbosity: ignored,
    prediction: ignored,
    modalities: acceptOnly(
      (value) => Array.isArray(value) && value.every((x) => x === "text"),
      "expected text, the only kind there is",
    ),
  },
  { error: "expected a JSON object with `messages`" },
);
export type ChatRequest = z.infer<typeof chatRequest>;

export const completionRequest = z.strictObject(
  {
    ...commonFields,
    prompt: promptField,
    max_tokens: whole(0, MAX_TOKENS),
    n_predict: whole(-1, MAX_TOKENS),
    logprobs: whole(0, 20),
    echo: flag,
    best_of: whole(1, 1024),
    suffix: acceptOnly((value) => value === "", "expected none: infilling is not supported"),
    add_special_tokens: flag,
  },
  { error: "expected a JSON object with `prompt`" },
);
export type CompletionRequest = z.infer<typeof completionRequest>;

export const embeddingRequest = z.strictObject(
  {
    model: text.nullish(),
    input: promptField,
    encoding_format: z.enum(["float", "base64"], { error: "expected float or base64" }).nullish(),
    dimensions: whole(1, MAX_TOKENS),
    pooling: z.enum(POOLINGS, { error: `expected ${POOLINGS.join(" or ")}` }).nullish(),
    add_special_tokens: flag,
    user: ignored,
  },
  { error: "expected a JSON object with `input`" },
);
export type EmbeddingRequest = z.infer<typeof embeddingRequest>;

export const tokenizeRequest = z.strictObject(
  {
    model: text.nullish(),
    /** Names that llama.cpp and vLLM use. */
    content: text.optional(),
    prompt: text.optional(),
    messages: messages.optional(),
    add_special: flag,
    add_special_tokens: flag,
    add_generation_prompt: flag,
    with_pieces: flag,
    return_token_strs: flag,
  },
  { error: "expected a JSON object with `content`" },
);
export type TokenizeRequest = z.infer<typeof tokenizeRequest>;

export const detokenizeRequest = z.strictObject(
  { model: text.nullish(), tokens: tokenList(MAX_SHOWN_TOKENS, "expected a list of token ids") },
  { error: "expected a JSON object with `tokens`" },
);
export type DetokenizeRequest = z.infer<typeof detokenizeRequest>;

export const modelRequest = z.strictObject({ model: text }, { error: "expected a JSON object with `model`" });
export type ModelRequest = z.infer<typeof modelRequest>;

export const slotFileRequest = z.strictObject(
  { filename: text, model: text.nullish() },
  { error: "expected a JSON object with `filename`" },
);

/** Fields that chat and plain completions share. */
export type CommonRequest = Pick<ChatRequest, keyof typeof commonFields>;
