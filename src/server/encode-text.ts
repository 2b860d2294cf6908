/** @file Encodes what requests send, after a look at its length: most of what is far too long is refused before it costs anything. */
import type { EncodeOptions } from "../tokenizer/tokenizer.ts";
import { ApiError } from "./api-error.ts";
import type { Call } from "./call.ts";
import { type TextWork, textWorkHere } from "./text-work.ts";

export const textWorkOf = ({ model: { text, llm } }: Call): TextWork => text ?? textWorkHere(llm.tokenizer);

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
  const { llm } = call.model;
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

/**
 * The token ids of a request's texts, in their order; lists of ids are as they are. One text at a time, so that a request takes one place among the texts
 * that wait, however many it has, and others come to their turn.
 * field: of the request that has the texts. check: looks at the ids of each before the next is encoded
 * @throws ApiError as `encodePrompt` · what `check` throws
 */
export async function encodePrompts(
  call: Call,
  prompts: readonly (string | readonly number[])[],
  options: EncodeOptions,
  field: string,
  check?: (ids: readonly number[], index: number) => void,
): Promise<(readonly number[])[]> {
  const encoded: (readonly number[])[] = [];
  for (const [i, prompt] of prompts.entries()) {
    const name = prompts.length === 1 ? field : `${field}.${i}`;
    const ids = typeof prompt === "string" ? await encodePrompt(call, prompt, options, name) : prompt;
    check?.(ids, i);
    encoded.push(ids);
  }
  return encoded;
}
