/** @file Lengths that a model does not take are refused before a text of them is written. */
import type { LLM } from "../../engine/llm.ts";
import { TurboQuantError } from "../../errors.ts";

/**
 * lengths: of sequences, in tokens, by the option that asks for them
 * @throws TurboQuantError invalid_argument — one is longer than the context
 */
export function checkLengths({ config }: LLM, lengths: Readonly<Record<string, readonly number[]>>): void {
  const contextLength = config.maxPositionEmbeddings;
  for (const [option, values] of Object.entries(lengths)) {
    const longest = Math.max(0, ...values);
    if (longest <= contextLength) continue;
    throw new TurboQuantError(
      "invalid_argument",
      `${option}: expected at most the model's context of ${contextLength} tokens, got ${longest}; shorten it`,
      { option, length: longest, contextLength },
    );
  }
}
