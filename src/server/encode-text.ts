/** @file Encodes what requests send, after a look at its length: most of what is far too long is refused before it costs anything. */
import type { EncodeOptions } from "../tokenizer/tokenizer.ts";
import { ApiError } from "./api-error.ts";
import type { Call } from "./call.ts";
import { type TextWork, textWorkHere } from "./text-work.ts";

export const textWorkOf = ({ server: { text, llm } }: Call): TextWork => text ?? textWorkHere(llm.tokenizer);

/**
 * field: of the request that has the text
 * @throws ApiError 400 — a text so long that, whatever its tokens are, they cannot fit the context
 */
export async function encodePrompt(
  call: Call,
  text: string,
  options: EncodeOptions,
  field = "prompt",
): Promise<number[]> {
  const { llm } = call.server;
  const { contextLength } = llm.runner;
  if (text.length > contextLength * llm.tokenizer.longestToken) {
    throw new ApiError(
      400,
      `${field}: ${text.length} characters do not fit the context of ${contextLength} tokens; shorten it`,
      { code: "context_length_exceeded" },
    );
  }
  return await textWorkOf(call).encode(text, options, call.signal);
}
