/** @file Reads a call that is written as a JSON object, {"name": …, "arguments": {…}}, character by character. */
import type { AnswerPart } from "../answer-parser.ts";

/** Finds the end of a JSON object or list. */
export class StructureScanner {
  #depth = 0;
  #inText = false;
  #isEscaped = false;

  /** Takes a character, beginning with the bracket that opens. returns: whether the structure ends with it */
  take(character: string): boolean {
    if (this.#inText) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (character === "\\") this.#isEscaped = true;
      else if (character === '"') this.#inText = false;
      return false;
    }
    if (character === '"') this.#inText = true;
    else if (character === "{" || character === "[") this.#depth++;
    else if (character === "}" || character === "]") return --this.#depth <= 0;
    return false;
  }
}

const ARGUMENTS = new Set(["arguments", "parameters"]);
const BLANK = /^\s$/;

/** Where in the object the next character is: `word` is a number, true, false or null. */
type Place = "start" | "key" | "colon" | "value" | "text" | "structure" | "word" | "after";

export class CallScanner {
  name: string | null = null;
  isOver = false;
  #raw = "";
  #place: Place = "start";
  /** The last key; null while it is read. */
  #key: string | null = null;
  /** A text as it is written, with its quotes. */
  #text = "";
  #isEscaped = false;
  #structure = new StructureScanner();
  /** Whether the value that is read is the arguments. */
  #isArguments = false;
  #hasArguments = false;
  /** Arguments that were not handed out yet. */
  #ready = "";
  #isAnnounced = false;

  /** Everything that was taken, for an object that turns out to be no call. */
  get raw(): string {
    return this.#raw;
  }

  /**
   * Takes characters up to the end of the object; the first one must be its brace.
   * returns: number of characters taken
   */
  push(text: string): number {
    let at = 0;
    while (at < text.length && !this.isOver) this.#take(text[at++]!);
    this.#raw += text.slice(0, at);
    return at;
  }

  /** What became known of the call; nothing before its name is. */
  parts(): AnswerPart[] {
    if (this.name === null) return [];
    const parts: AnswerPart[] = this.#isAnnounced ? [] : [{ kind: "call", name: this.name }];
    this.#isAnnounced = true;
    const text = this.isOver && !this.#hasArguments ? "{}" : this.#ready;
    this.#hasArguments ||= this.isOver;
    this.#ready = "";
    if (text !== "") parts.push({ kind: "arguments", text });
    return parts;
  }

  #take(character: string): void {
    switch (this.#place) {
      case "start":
        this.#place = "key";
        break;
      case "key":
        this.#key = null;
        if (character === '"') this.#beginText();
        else if (character === "}") this.isOver = true;
        break;
      case "colon":
        if (character === ":") this.#place = "value";
        break;
      case "value":
        if (!BLANK.test(character)) this.#beginValue(character);
        break;
      case "text":
        this.#takeText(character);
        break;
      case "structure":
        if (this.#isArguments) this.#ready += character;
        if (this.#structure.take(character)) this.#place = "after";
        break;
      case "word":
        if (character === "," || character === "}") this.#goOn(character);
        else if (this.#isArguments) this.#ready += character;
        break;
      case "after":
        this.#goOn(character);
    }
  }

  #goOn(character: string): void {
    this.#place = character === "," ? "key" : "after";
    if (character === "}") this.isOver = true;
  }

  #beginText(): void {
    this.#place = "text";
    this.#text = '"';
    this.#isEscaped = false;
  }

  #beginValue(character: string): void {
    this.#isArguments = this.#key !== null && ARGUMENTS.has(this.#key) && !this.#hasArguments;
    this.#hasArguments ||= this.#isArguments;
    if (character === '"') {
      this.#beginText();
      return;
    }
    const isStructure = character === "{" || character === "[";
    this.#place = isStructure ? "structure" : "word";
    if (isStructure) this.#structure = new StructureScanner();
    this.#take(character);
  }

  #takeText(character: string): void {
    this.#text += character;
    if (this.#isEscaped) this.#isEscaped = false;
    else if (character === "\\") this.#isEscaped = true;
    else if (character === '"') this.#endText(parsedText(this.#text));
  }

  #endText(text: string): void {
    if (this.#key === null) {
      this.#key = text;
      this.#place = "colon";
      return;
    }
    if (this.#key === "name") this.name = text;
    // Some models write the arguments as a text of JSON.
    if (this.#isArguments) this.#ready += text;
    this.#place = "after";
  }
}

function parsedText(json: string): string {
  try {
    return JSON.parse(json) as string;
  } catch {
    return json.slice(1, -1);
  }
}
