/** @file The text that a sweep evaluates on, and what identifies it. */
import { sha256Hex } from "../../formats/sha256.ts";
import type { Candidate } from "../../lab/candidates.ts";
import { readTextFile } from "../eval/text-input.ts";
import type { SweepText } from "./task.ts";

/** All models write their text with this seed; rows record it. */
const OWN_TEXT_SEED = 0;
/** Needle prompts take their prose from the whole text, and this many tokens are enough for them. */
const NEEDLE_TOKENS = 4096;

export interface IdentifiedText {
  readonly text: SweepText;
  /** Digest of the text; null when the model writes it. */
  readonly sha256: string | null;
}

/**
 * Reads the text, or decides how long a text the models write: the same for all runs, so that a run does not depend on others.
 * @throws TurboQuantError invalid_argument — the file cannot be read
 */
export async function readSweepText(
  path: string | null,
  candidates: readonly Candidate[],
  chunks: number,
  needle: number,
): Promise<IdentifiedText> {
  const file = await readTextFile(path ?? undefined);
  if (file) {
    const sha256 = sha256Hex([new TextEncoder().encode(file.text)]);
    return { text: { kind: "given", text: file.text, source: file.source }, sha256 };
  }
  const longest = candidates.reduce((most, { ctx }) => Math.max(most, ctx), 0) * chunks;
  const tokens = Math.max(longest, needle > 0 ? NEEDLE_TOKENS : 0);
  return { text: { kind: "own", tokens, seed: OWN_TEXT_SEED }, sha256: null };
}
