/**
 * @file Finds patterns that would take forever on a short text. A regular expression of JavaScript cannot be stopped, so a pattern is tried
 * on texts that grow until one takes too long: the ways to match a text that does not fit double with every few characters then.
 */

/** Two characters more multiply the time of such a pattern by less than ten, so that it is found after a second at most. */
const MAX_LENGTH = 64;
const STEP = 2;
/** Other patterns take microseconds. A machine that is busy elsewhere stops one attempt this long, but not three in a row. */
const LIMIT_MS = 50;
const ATTEMPTS = 3;

/** One of each kind that patterns tell apart. */
const KINDS = ["a", "B", "7", " ", "\n", "!", "'", "_", "中", "\u0301"];
const MAX_CHARACTERS = 16;
/** What may follow and not fit. */
const ENDS = ["\0", "z", "!"];

/**
 * A text on which the pattern takes too long, or null.
 *
 * source: as its author wrote it · whole: translated · repeated: parts of it that may be repeated without limit and are more than one character;
 * each is tried by itself, so that nothing has to be found that leads to it
 */
export function endlessText(source: string, whole: string, repeated: readonly string[]): string | null {
  const characters = [...new Set([...literals(source), ...KINDS])].slice(0, MAX_CHARACTERS);
  const pairs = characters.flatMap((a) => characters.map((b) => a + b));
  const pattern = new RegExp(whole, "v");
  const parts = repeated.map((part) => new RegExp(`^(?:${part})$`, "v"));
  for (let length = STEP; length <= MAX_LENGTH; length += STEP) {
    const tried = (pattern: RegExp, unit: string): string | undefined =>
      ENDS.map((end) => unit.repeat(length / unit.length) + end).find((text) => takesTooLong(pattern, text));
    for (const unit of characters) {
      const found = tried(pattern, unit);
      if (found !== undefined) return found;
    }
    for (const part of parts) {
      for (const unit of pairs) {
        const found = tried(part, unit);
        if (found !== undefined) return found;
      }
    }
  }
  return null;
}

/** Characters that stand for themselves in a pattern. */
const literals = (source: string): string[] => [
  ...source.replace(/\\[pP]\{[^}]*\}|\\[xu]\{?[\da-fA-F]+\}?|\\.|[()[\]{}|^$.?*+:<>=!-]/gsu, ""),
];

function takesTooLong(pattern: RegExp, text: string): boolean {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const start = performance.now();
    try {
      pattern.exec(text);
    } catch {
      // The engine's own stack overflowed on a few characters.
      return true;
    }
    if (performance.now() - start < LIMIT_MS) return false;
  }
  return true;
}
