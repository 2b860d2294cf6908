/** @file Takes an answer apart while it is made: what is said, what is thought, which tools are called. */

export type AnswerPart =
  | { readonly kind: "content" | "reasoning"; readonly text: string }
  /** A call begins. */
  | { readonly kind: "call"; readonly name: string }
  /** JSON of the arguments of the last call, in pieces. */
  | { readonly kind: "arguments"; readonly text: string };

export interface AnswerParser {
  /** The parts that became certain with this piece of text. */
  push(text: string): AnswerPart[];
  /** What was held back, at the end of the answer. */
  end(): AnswerPart[];
}

/** An answer that is only said. */
export const plainAnswer: AnswerParser = {
  push: (text) => (text === "" ? [] : [{ kind: "content", text }]),
  end: () => [],
};

/** Text whose last blanks wait until more is said. Each character is looked at once, however many blanks there are. */
export class TrimmedText {
  #blanks = "";

  /** Takes text. returns: what may be said, with the blanks that waited */
  push(text: string): string {
    const said = text.trimEnd();
    const blanks = text.slice(said.length);
    if (said === "") {
      this.#blanks += blanks;
      return "";
    }
    const whole = this.#blanks + said;
    this.#blanks = blanks;
    return whole;
  }

  /** The blanks that wait, which wait no longer. */
  takeBlanks(): string {
    const blanks = this.#blanks;
    this.#blanks = "";
    return blanks;
  }
}

/** Number of characters at the end of `text` that may be the beginning of one of the marks. */
export function heldLength(text: string, marks: readonly string[]): number {
  let longest = 0;
  for (const mark of marks) {
    for (let n = Math.min(mark.length - 1, text.length); n > longest; n--)
      if (text.endsWith(mark.slice(0, n))) longest = n;
  }
  return longest;
}

/** The mark that comes first in a text; of those at the same place the longest. */
export function firstMark(
  text: string,
  marks: readonly string[],
): { readonly at: number; readonly mark: string } | null {
  let found: { at: number; mark: string } | null = null;
  for (const mark of marks) {
    const at = text.indexOf(mark);
    if (at < 0) continue;
    if (!found || at < found.at || (at === found.at && mark.length > found.mark.length)) found = { at, mark };
  }
  return found;
}
