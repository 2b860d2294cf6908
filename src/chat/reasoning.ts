/** @file Keeps apart what a model thinks, between two marks at the beginning of its answer, and what it says. */
import { type AnswerParser, type AnswerPart, heldLength, TrimmedText } from "./answer-parser.ts";

export interface ReasoningMarks {
  readonly open: string;
  readonly close: string;
}

/** Marks by which chat templates tell thinking models apart from others. */
const KNOWN: readonly ReasoningMarks[] = [
  { open: "<think>", close: "</think>" },
  { open: "[THINK]", close: "[/THINK]" },
  { open: "<seed:think>", close: "</seed:think>" },
];

/** The marks that a chat template speaks of; null for models that do not think. */
export const marksOf = (template: string): ReasoningMarks | null =>
  KNOWN.find(({ close }) => template.includes(close)) ?? null;

/** Whether a prompt ends where the model has to think on: its template wrote the opening mark. */
export const endsInside = (prompt: string, { open }: ReasoningMarks): boolean => prompt.trimEnd().endsWith(open);

/** Whether a text stops within a thought that it began. */
export const stopsInside = (text: string, { open, close }: ReasoningMarks): boolean =>
  text.lastIndexOf(open) > text.lastIndexOf(close);

export class ReasoningParser implements AnswerParser {
  readonly #marks: ReasoningMarks;
  readonly #rest: AnswerParser;
  #state: "start" | "inside" | "after";
  /** The blanks before the opening mark, and the thought. */
  readonly #text = new TrimmedText();
  /** What may be a mark or the beginning of one. */
  #held = "";
  /** Whether blanks are left out until something is said. */
  #isFresh = true;

  /** isInside: whether the prompt ends inside of the marks · rest: takes apart what is said */
  constructor(marks: ReasoningMarks, isInside: boolean, rest: AnswerParser) {
    this.#marks = marks;
    this.#rest = rest;
    this.#state = isInside ? "inside" : "start";
  }

  push(text: string): AnswerPart[] {
    this.#held += text;
    const parts: AnswerPart[] = [];
    if (this.#state === "start") {
      const { open } = this.#marks;
      const begun = this.#held.trimStart();
      this.#text.push(this.#held.slice(0, this.#held.length - begun.length));
      this.#held = begun;
      if (begun.startsWith(open)) {
        this.#state = "inside";
        this.#text.takeBlanks();
        this.#held = begun.slice(open.length);
      } else if (open.startsWith(begun)) return parts;
      else {
        this.#state = "after";
        this.#isFresh = false;
        this.#held = this.#text.takeBlanks() + begun;
      }
    }
    if (this.#state === "inside") this.#think(parts);
    if (this.#state === "after") this.#say(parts);
    return parts;
  }

  /** Blanks before and after the thought are its marks' and not its own. */
  #think(parts: AnswerPart[]): void {
    const { close } = this.#marks;
    const at = this.#held.indexOf(close);
    const end = at >= 0 ? at : this.#held.length - heldLength(this.#held, [close]);
    const certain = this.#text.push(this.#held.slice(0, end));
    const text = this.#isFresh ? certain.trimStart() : certain;
    if (text !== "") {
      this.#isFresh = false;
      parts.push({ kind: "reasoning", text });
    }
    this.#held = this.#held.slice(at >= 0 ? at + close.length : end);
    if (at < 0) return;
    this.#text.takeBlanks();
    this.#state = "after";
    this.#isFresh = true;
  }

  #say(parts: AnswerPart[]): void {
    const text = this.#isFresh ? this.#held.trimStart() : this.#held;
    this.#held = "";
    if (text === "") return;
    this.#isFresh = false;
    parts.push(...this.#rest.push(text));
  }

  end(): AnswerPart[] {
    const text = this.#text.takeBlanks() + this.#held;
    this.#held = "";
    if (this.#state === "inside") {
      const thought = this.#isFresh ? text.trim() : text.trimEnd();
      return thought === "" ? [] : [{ kind: "reasoning", text: thought }];
    }
    const parts = text === "" || this.#state === "after" ? [] : this.#rest.push(text);
    return [...parts, ...this.#rest.end()];
  }
}
