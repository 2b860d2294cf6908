/** @file Encodes what requests send, after a look at its length: to encode takes time in which nobody else is answered. */
import type { LLM } from "../engine/llm.ts";
import type { EncodeOptions } from "../tokenizer/tokenizer.ts";
import { ApiError } from "./api-error.ts";

/** @throws ApiError 400 — a text so long that, whatever its tokens are, they cannot fit the context */
export function encodePrompt(llm: LLM, text: string, options: EncodeOptions): number[] {
  const { contextLength } = llm.runner;
  if (text.length > contextLength * llm.tokenizer.longestToken) {
    throw new ApiError(
      400,
      `prompt: ${text.length} characters do not fit the context of ${contextLength} tokens; shorten it`,
      { code: "context_length_exceeded" },
    );
  }
  return llm.tokenizer.encode(text, options);
}
