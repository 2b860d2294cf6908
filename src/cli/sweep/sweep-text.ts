/** @file The text of a sweep and what identifies it. */
import { sha256Hex } from "../../formats/sha256.ts";
import type { Candidate } from "../../lab/candidates.ts";
import { readTextFile } from "../eval/text-input.ts";
import type { SweepText } from "./task.ts";

/** Every model writes with the same seed; rows say so. */
const OWN_TEXT_SEED = 0;
/** Needle prompts draw their prose from the whole text; a few pages are enough of it. */
const NEEDLE_TOKENS = 4096;

export interface IdentifiedText {
  readonly text: SweepText;
  /** Digest; null where the model writes the text. */
  readonly sha256: string | null;
}

/**
 * Reads the text, or says how long a text the models have to write: for every run the same, so that a run does not depend
 * on which one came before. @throws TurboQuantError invalid_argument — the file cannot be read
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
