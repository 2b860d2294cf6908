/** @file Calls as Mistral writes them behind [TOOL_CALLS]: a list of JSON objects, or a name and its arguments. */
import type { AnswerPart } from "../answer-parser.ts";
import { CallScanner, StructureScanner } from "./call-scanner.ts";
import { callSchema, larkJson, larkMark, parametersOf, toolRules } from "./call-schema.ts";
import { type CallBody, MarkedCalls, said } from "./marked-calls.ts";
import type { ToolFormat } from "./tool-format.ts";

const MARK = "[TOOL_CALLS]";
const ARGS = "[ARGS]";
const CALL_ID = "[CALL_ID]";

class Body implements CallBody {
  #held = "";
  /** What stands before the arguments of a named call. */
  #header = "";
  #form: "unknown" | "list" | "named" = "unknown";
  #scanner: CallScanner | null = null;
  #structure: StructureScanner | null = null;

  push(text: string): { parts: AnswerPart[]; rest: string | null } {
    this.#held += text;
    if (this.#form === "unknown") {
      const begun = this.#held.trimStart();
      if (begun === "") this.#held = "";
      if (begun === "") return { parts: [], rest: null };
      this.#form = begun[0] === "[" || begun[0] === "{" ? "list" : "named";
      this.#held = begun[0] === "[" ? begun.slice(1) : begun;
    }
    return this.#form === "list" ? this.#takeList() : this.#takeNamed();
  }

  #takeList(): { parts: AnswerPart[]; rest: string | null } {
    const parts: AnswerPart[] = [];
    for (;;) {
      if (this.#scanner) {
        this.#held = this.#held.slice(this.#scanner.push(this.#held));
        parts.push(...this.#scanner.parts());
        if (!this.#scanner.isOver) return { parts, rest: null };
        if (this.#scanner.name === null) parts.push(...said(this.#scanner.raw));
        this.#scanner = null;
      }
      this.#held = this.#held.replace(/^[\s,]+/, "");
      if (this.#held === "") return { parts, rest: null };
      if (this.#held[0] === "]") return { parts, rest: this.#held.slice(1) };
      if (this.#held[0] !== "{") return { parts, rest: this.#held };
      this.#scanner = new CallScanner();
    }
  }

  #takeNamed(): { parts: AnswerPart[]; rest: string | null } {
    const parts: AnswerPart[] = [];
    if (!this.#structure) {
      const at = this.#held.indexOf("{");
      this.#header += at < 0 ? this.#held : this.#held.slice(0, at);
      this.#held = at < 0 ? "" : this.#held.slice(at);
      if (at < 0) return { parts, rest: null };
      const name = this.#header.split(CALL_ID)[0]!.replace(ARGS, "").trim();
      parts.push({ kind: "call", name });
      this.#structure = new StructureScanner();
    }
    for (let at = 0; at < this.#held.length; at++) {
      if (!this.#structure.take(this.#held[at]!)) continue;
      parts.push({ kind: "arguments", text: this.#held.slice(0, at + 1) });
      return { parts, rest: this.#held.slice(at + 1) };
    }
    if (this.#held !== "") parts.push({ kind: "arguments", text: this.#held });
    this.#held = "";
    return { parts, rest: null };
  }

  end(): AnswerPart[] {
    if (this.#scanner) return this.#scanner.name === null ? said(this.#scanner.raw) : this.#scanner.parts();
    return this.#form === "named" && !this.#structure ? said(this.#header) : [];
  }
}

const ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

export const mistral: ToolFormat = {
  name: "mistral",
  matches: (template) => template.includes(MARK),
  marks: [MARK, ARGS, CALL_ID],
  createParser: () => new MarkedCalls([MARK], () => new Body()),
  grammar({ tools, isParallel, tokens }) {
    const mark = larkMark(MARK, tokens);
    const more = isParallel ? "*" : "?";
    if (tokens.tokenId(ARGS) !== undefined) {
      const { names, rules } = toolRules(
        tools,
        (tool) => `${JSON.stringify(tool.name)} ${larkMark(ARGS, tokens)} ${larkJson(parametersOf(tool))}`,
      );
      return [`start: call${isParallel ? "+" : ""}`, `call: ${mark} (${names})`, rules].join("\n");
    }
    const { names, rules } = toolRules(tools, (tool) => larkJson(callSchema(tool)));
    const others = isParallel ? ` (", " call)${more}` : "";
    return [`start: ${mark} "[" call${others} "]"`, `call: ${names}`, rules].join("\n");
  },
  // Its templates refuse others.
  createId: () =>
    Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => ID_CHARACTERS[byte % ID_CHARACTERS.length]).join(
      "",
    ),
};
