/** @file Answers that are calls as a whole: JSON objects with the name of a tool, one or several. */
import { type AnswerParser, type AnswerPart, firstMark } from "../answer-parser.ts";
import { CallScanner } from "./call-scanner.ts";
import { said } from "./marked-calls.ts";

export interface ObjectAnswerOptions {
  /** Names of the tools; an object with another name is said as it stands. */
  readonly names: ReadonlySet<string>;
  /** What may stand before the first object. */
  readonly prefixes: readonly string[];
  /** What may stand between objects, and behind the last one. */
  readonly separators: RegExp;
}

export class ObjectAnswer implements AnswerParser {
  readonly #options: ObjectAnswerOptions;
  #held = "";
  /** What stood before the first object. */
  #before = "";
  #scanner: CallScanner | null = null;
  #hasCalls = false;
  #isPlain = false;

  constructor(options: ObjectAnswerOptions) {
    this.#options = options;
  }

  push(text: string): AnswerPart[] {
    if (this.#isPlain) return said(text);
    this.#held += text;
    const parts: AnswerPart[] = [];
    for (;;) {
      if (this.#scanner) {
        this.#held = this.#held.slice(this.#scanner.push(this.#held));
        const { name, isOver } = this.#scanner;
        if (name !== null ? !this.#options.names.has(name) : isOver) return [...parts, ...this.#sayAll()];
        parts.push(...this.#scanner.parts());
        if (!isOver) return parts;
        this.#scanner = null;
        this.#hasCalls = true;
      }
      if (this.#mayBePrefix()) return parts;
      this.#skip();
      if (this.#held === "") return parts;
      if (this.#held[0] !== "{") return [...parts, ...this.#sayAll()];
      this.#scanner = new CallScanner();
    }
  }

  /** Leaves out what may stand before an object. */
  #skip(): void {
    const skipped = this.#hasCalls ? this.#options.separators.exec(this.#held)![0] : this.#prefix();
    if (!this.#hasCalls) this.#before += skipped;
    this.#held = this.#held.slice(skipped.length);
  }

  #prefix(): string {
    const blanks = /^\s*/.exec(this.#held)![0];
    const behind = this.#held.slice(blanks.length);
    const prefix =
      firstMark(
        behind,
        this.#options.prefixes.filter((one) => behind.startsWith(one)),
      )?.mark ?? "";
    return blanks + prefix + /^\s*/.exec(behind.slice(prefix.length))![0];
  }

  /** Whether a longer prefix may be on its way. */
  #mayBePrefix(): boolean {
    if (this.#hasCalls) return false;
    const begun = this.#held.trimStart();
    return begun !== "" && this.#options.prefixes.some((one) => one.length > begun.length && one.startsWith(begun));
  }

  /** From here on everything is said. */
  #sayAll(): AnswerPart[] {
    this.#isPlain = true;
    const text = (this.#hasCalls ? "" : this.#before) + (this.#scanner?.raw ?? "") + this.#held;
    return said(text);
  }

  end(): AnswerPart[] {
    if (this.#isPlain) return [];
    const name = this.#scanner?.name;
    if (this.#scanner && typeof name === "string") return this.#scanner.parts();
    return this.#hasCalls && !this.#scanner ? [] : this.#sayAll();
  }
}
