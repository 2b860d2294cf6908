/** @file Text with calls in it, each of which begins with a mark. */
import { type AnswerParser, type AnswerPart, firstMark, heldLength, TrimmedText } from "../answer-parser.ts";

/** Reads from behind a mark to the end of what belongs to it. */
export interface CallBody {
  /**
   * Takes text. returns: what became certain of it, and the text behind the body when that is over, which null says it is not
   */
  push(text: string): { readonly parts: AnswerPart[]; readonly rest: string | null };
  /** At the end of the answer. */
  end(): AnswerPart[];
}

export class MarkedCalls implements AnswerParser {
  readonly #marks: readonly string[];
  readonly #createBody: (mark: string) => CallBody;
  readonly #text = new TrimmedText();
  #body: CallBody | null = null;
  /** What may be the beginning of a mark. */
  #held = "";
  #hasCalls = false;

  constructor(marks: readonly string[], createBody: (mark: string) => CallBody) {
    this.#marks = marks;
    this.#createBody = createBody;
  }

  push(text: string): AnswerPart[] {
    const parts: AnswerPart[] = [];
    this.#held += text;
    for (;;) {
      if (this.#body) {
        const { parts: own, rest } = this.#body.push(this.#held);
        parts.push(...own);
        this.#held = rest ?? "";
        if (rest === null) return parts;
        this.#body = null;
        this.#hasCalls = true;
        continue;
      }
      const found = firstMark(this.#held, this.#marks);
      const end = found ? found.at : this.#held.length - heldLength(this.#held, this.#marks);
      // Blanks around calls belong to them; others are said when more is said.
      const certain = this.#text.push(this.#held.slice(0, end));
      const said = this.#hasCalls ? certain.trimStart() : certain;
      if (said !== "") {
        this.#hasCalls = false;
        parts.push({ kind: "content", text: said });
      }
      this.#held = this.#held.slice(end);
      if (!found) return parts;
      this.#text.takeBlanks();
      this.#held = this.#held.slice(found.mark.length);
      this.#body = this.#createBody(found.mark);
    }
  }

  end(): AnswerPart[] {
    if (this.#body) return this.#body.end();
    const held = this.#text.takeBlanks() + this.#held;
    const text = this.#hasCalls ? held.trim() : held;
    this.#held = "";
    return text === "" ? [] : [{ kind: "content", text }];
  }
}

/** Text that is not what its mark announced is said as it stands. */
export const said = (text: string): AnswerPart[] => (text === "" ? [] : [{ kind: "content", text }]);
