/** @file Answers in the channels of gpt-oss (harmony): what is thought, what is said, and calls addressed to functions. */
import { type AnswerParser, type AnswerPart, firstMark, heldLength } from "../answer-parser.ts";
import { larkJson, larkMark, parametersOf, toolRules } from "./call-schema.ts";
import type { MarkTokens, ToolFormat } from "./tool-format.ts";

const CHANNEL = "<|channel|>";
const MESSAGE = "<|message|>";
const START = "<|start|>";
const CONSTRAIN = "<|constrain|>";
const END = "<|end|>";
/** What ends a message. */
const ENDS = [END, "<|call|>", "<|return|>", START];

class HarmonyParser implements AnswerParser {
  /** What may be a mark or the beginning of one. */
  #held = "";
  #header = "";
  /** What the messages that are read now are; null in a header. */
  #kind: AnswerPart["kind"] | null = null;

  push(text: string): AnswerPart[] {
    const parts: AnswerPart[] = [];
    this.#held += text;
    for (;;) {
      if (this.#kind === null) {
        const at = this.#held.indexOf(MESSAGE);
        const length = at < 0 ? this.#held.length - heldLength(this.#held, [MESSAGE]) : at;
        this.#header += this.#held.slice(0, length);
        this.#held = this.#held.slice(at < 0 ? length : at + MESSAGE.length);
        if (at < 0) return parts;
        this.#begin(this.#header, parts);
        this.#header = "";
      }
      const end = firstMark(this.#held, ENDS);
      const length = end ? end.at : this.#held.length - heldLength(this.#held, ENDS);
      this.#take(this.#held.slice(0, length), parts);
      this.#held = this.#held.slice(end ? end.at + end.mark.length : length);
      if (!end) return parts;
      this.#kind = null;
    }
  }

  #begin(header: string, parts: AnswerPart[]): void {
    const name = /\bto=functions\.([^\s<]+)/.exec(header)?.[1];
    if (name !== undefined) {
      parts.push({ kind: "call", name });
      this.#kind = "arguments";
    } else this.#kind = header.includes(`${CHANNEL}analysis`) ? "reasoning" : "content";
  }

  #take(text: string, parts: AnswerPart[]): void {
    if (text === "" || this.#kind === null || this.#kind === "call") return;
    parts.push({ kind: this.#kind, text });
  }

  end(): AnswerPart[] {
    const parts: AnswerPart[] = [];
    // A text without any header is said.
    const text = this.#header + this.#held;
    if (this.#kind === null && !text.includes(CHANNEL) && !text.includes(START)) this.#kind = "content";
    this.#take(text, parts);
    this.#held = "";
    return parts;
  }
}

export const harmony: ToolFormat = {
  name: "harmony",
  matches: (template) => template.includes(CHANNEL) && template.includes(MESSAGE),
  marks: [CHANNEL, MESSAGE, START, END, CONSTRAIN],
  createParser: () => new HarmonyParser(),
  // An end of a message that is a call ends the answer, so there is only one.
  grammar({ tools, tokens }) {
    const mark = (text: string): string => larkMark(text, tokens);
    const { names, rules } = toolRules(
      tools,
      (tool) =>
        `${mark(CHANNEL)} ${JSON.stringify(`commentary to=functions.${tool.name} `)} ${mark(CONSTRAIN)} "json" ${mark(MESSAGE)} ${larkJson(parametersOf(tool))}`,
    );
    return [`start: thought? (${names})`, `thought: ${thought(tokens)}`, rules].join("\n");
  },
};

/** Lark for a message in the channel of thoughts, and the beginning of the next message. */
function thought(tokens: MarkTokens): string {
  const mark = (text: string): string => larkMark(text, tokens);
  return `${mark(CHANNEL)} "analysis" ${mark(MESSAGE)} /(.|\\n)*/ ${mark(END)} ${mark(START)} "assistant"`;
}

/** Lark for an answer whose last message is bound. body: Lark for that message */
export const harmonyAnswer = (body: string, tokens: MarkTokens): string =>
  [
    `start: before? ${larkMark(CHANNEL, tokens)} "final" ${larkMark(MESSAGE, tokens)} (${body})`,
    `before: ${thought(tokens)}`,
  ].join("\n");
