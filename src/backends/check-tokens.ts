/** @file Checks token ids against the vocabulary, for every backend, the scheduler and the server. */
import { TurboQuantError } from "../errors.ts";

/**
 * subject: what contains the tokens, for the beginning of the message
 * @throws TurboQuantError invalid_argument — an id outside the vocabulary
 */
export function checkTokens(subject: string, tokens: Iterable<number>, vocabSize: number): void {
  for (const token of tokens) {
    if (Number.isInteger(token) && token >= 0 && token < vocabSize) continue;
    throw new TurboQuantError(
      "invalid_argument",
      `${subject}: expected tokens from 0 to ${vocabSize - 1}, got ${token}; use ids of this model's tokenizer`,
      { token },
    );
  }
}
