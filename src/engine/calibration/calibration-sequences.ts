/** @file Cuts a text into the sequences that a calibration reads. */
import { TurboQuantError } from "../../errors.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";

/** With fewer tokens the moments of a head would be mostly noise, so calibration is refused. */
export const MIN_TOKENS = 1024;

export interface CalibrationTokens {
  readonly sequences: readonly Int32Array[];
  /** What follows them in the text. */
  readonly rest: Int32Array;
}

/**
 * The first `tokens` tokens of a text in sequences of at most `ctx`. If the tokenizer begins texts with a special token, it replaces
 * the first token of each.
 * @throws TurboQuantError invalid_argument — a text too short
 */
export function calibrationSequences(
  tokenizer: Tokenizer,
  text: string,
  { tokens, ctx }: { readonly tokens: number; readonly ctx: number },
): CalibrationTokens {
  const ids = Int32Array.from(tokenizer.encode(text, { addSpecialTokens: false }));
  const [bos] = tokenizer.encode("", { addSpecialTokens: true });
  const total = Math.min(tokens, ids.length);
  if (total < MIN_TOKENS) {
    throw new TurboQuantError(
      "invalid_argument",
      `calibrate: expected a text of at least ${MIN_TOKENS} tokens, got ${total}; pass a longer one, or none to take the text that comes with the package`,
      { tokens: total },
    );
  }
  const sequences: Int32Array[] = [];
  for (let at = 0; at < total; at += ctx) {
    const sequence = ids.slice(at, Math.min(at + ctx, total));
    if (bos !== undefined) sequence[0] = bos;
    sequences.push(sequence);
  }
  return { sequences, rest: ids.subarray(total) };
}
