/** @file The text of a sweep and what identifies it. */
import { readFileSync } from "node:fs";
import { TurboQuantError } from "../../errors.ts";
import { sha256Hex } from "../../formats/sha256.ts";

export interface SweepText {
  /** null: the model writes its own. */
  readonly text: string | null;
  readonly sha256: string | null;
}

/** @throws TurboQuantError invalid_argument — the file cannot be read */
export function readSweepText(path: string | null): SweepText {
  if (path === null) return { text: null, sha256: null };
  try {
    const bytes = readFileSync(path);
    return { text: bytes.toString("utf8"), sha256: sha256Hex([bytes]) };
  } catch (cause) {
    throw new TurboQuantError(
      "invalid_argument",
      `--text ${path}: cannot be read (${(cause as NodeJS.ErrnoException).code}); check the path`,
      { path },
      { cause },
    );
  }
}
