/** @file Calls as Hermes and Qwen write them: JSON objects between <tool_call> and </tool_call>. */
import type { AnswerPart } from "../answer-parser.ts";
import { CallScanner } from "./call-scanner.ts";
import { callSchema, larkJson, larkMark, toolRules } from "./call-schema.ts";
import { type CallBody, MarkedCalls, said } from "./marked-calls.ts";
import type { ToolFormat } from "./tool-format.ts";

const OPEN = "<tool_call>";
const CLOSE = "</tool_call>";

class Body implements CallBody {
  readonly #scanner = new CallScanner();
  #held = "";
  #isObject = false;

  push(text: string): { parts: AnswerPart[]; rest: string | null } {
    this.#held += text;
    if (!this.#isObject) {
      const begun = this.#held.trimStart();
      if (begun === "") this.#held = "";
      if (begun === "") return { parts: [], rest: null };
      if (begun[0] !== "{") return { parts: said(OPEN), rest: this.#held };
      this.#isObject = true;
      this.#held = begun;
    }
    if (!this.#scanner.isOver) {
      this.#held = this.#held.slice(this.#scanner.push(this.#held));
      if (!this.#scanner.isOver) return { parts: this.#scanner.parts(), rest: null };
    }
    const parts = this.#scanner.name === null ? [] : this.#scanner.parts();
    const behind = this.#held.trimStart();
    if (CLOSE.startsWith(behind)) {
      this.#held = behind;
      if (behind !== CLOSE) return { parts, rest: null };
    }
    const rest = behind.startsWith(CLOSE) ? behind.slice(CLOSE.length) : this.#held;
    // An object without a name is no call.
    if (this.#scanner.name === null) parts.push(...said(OPEN + this.#scanner.raw + CLOSE));
    return { parts, rest };
  }

  end(): AnswerPart[] {
    if (!this.#isObject) return said(OPEN + this.#held);
    return this.#scanner.name === null ? said(OPEN + this.#scanner.raw) : this.#scanner.parts();
  }
}

export const hermes: ToolFormat = {
  name: "hermes",
  matches: (template) => template.includes(OPEN),
  marks: [OPEN, CLOSE],
  createParser: () => new MarkedCalls([OPEN], () => new Body()),
  grammar({ tools, isParallel, tokens }) {
    const { names, rules } = toolRules(tools, (tool) => larkJson(callSchema(tool)));
    return [
      `start: call${isParallel ? ' ("\\n" call)*' : ""}`,
      `call: ${larkMark(OPEN, tokens)} "\\n" (${names}) "\\n" ${larkMark(CLOSE, tokens)}`,
      rules,
    ].join("\n");
  },
};
