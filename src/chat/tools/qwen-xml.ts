/** @file Calls as Qwen3-Coder, Qwen 3.5 and later write them: <function=name> and <parameter=name> between <tool_call> marks. */
import { isJsonObject } from "../../formats/json-file.ts";
import type { AnswerPart } from "../answer-parser.ts";
import { larkJson, larkMark, parameterSchema, parametersOf, toolRules } from "./call-schema.ts";
import { type CallBody, MarkedCalls, said } from "./marked-calls.ts";
import type { ToolFormat, ToolFunction } from "./tool-format.ts";

const OPEN = "<tool_call>";
const CLOSE = "</tool_call>";
const FUNCTION = /^\s*<function=([^>\n]+)>/;
const PARAMETER = /^\s*<parameter=([^>\n]+)>/;
const PARAMETER_END = "</parameter>";
const FUNCTION_END = "</function>";
const END = /^\s*<\/function>\s*(?:<\/tool_call>)?/;

type Properties = Readonly<Record<string, unknown>>;

const propertiesOf = (tool: ToolFunction | undefined): Properties => {
  const properties = tool?.parameters?.["properties"];
  return isJsonObject(properties) ? properties : {};
};

/** Longer than any name with its mark: what is longer is none. */
const MAX_MARK = 1024;

class Body implements CallBody {
  readonly #tools: readonly ToolFunction[];
  #held = "";
  #properties: Properties | null = null;
  #hasArguments = false;
  /** Name of the parameter whose value is being read. */
  #name: string | null = null;
  /** What is certain of the value; what may be a part of its end is held. */
  #value = "";

  constructor(tools: readonly ToolFunction[]) {
    this.#tools = tools;
  }

  push(text: string): { parts: AnswerPart[]; rest: string | null } {
    this.#held += text;
    const parts: AnswerPart[] = [];
    if (!this.#properties) {
      const found = FUNCTION.exec(this.#held.slice(0, MAX_MARK));
      if (!found) {
        const begun = this.#held.trimStart();
        const mayBe =
          "<function=".startsWith(begun.slice(0, 10)) && !begun.includes("\n") && this.#held.length < MAX_MARK;
        return mayBe ? { parts, rest: null } : { parts: said(OPEN), rest: this.#held };
      }
      parts.push({ kind: "call", name: found[1]! });
      this.#properties = propertiesOf(this.#tools.find(({ name }) => name === found[1]));
      this.#held = this.#held.slice(found[0].length);
    }
    for (;;) {
      if (this.#name === null) {
        const end = END.exec(this.#held);
        if (end && (end[0].endsWith(CLOSE) || !CLOSE.startsWith(this.#held.slice(end[0].length)))) {
          parts.push(this.#close());
          return { parts, rest: this.#held.slice(end[0].length) };
        }
        const begin = PARAMETER.exec(this.#held.slice(0, MAX_MARK));
        if (!begin && this.#held.length < MAX_MARK) return { parts, rest: null };
        if (!begin) return { parts: [...parts, this.#close()], rest: this.#held };
        this.#name = begin[1]!;
        this.#value = "";
        this.#held = this.#held.slice(begin[0].length);
      }
      const at = this.#held.indexOf(PARAMETER_END);
      if (at < 0) {
        const certain = Math.max(0, this.#held.length - PARAMETER_END.length + 1);
        this.#value += this.#held.slice(0, certain);
        this.#held = this.#held.slice(certain);
        return { parts, rest: null };
      }
      parts.push(this.#member(this.#value + this.#held.slice(0, at)));
      this.#held = this.#held.slice(at + PARAMETER_END.length);
    }
  }

  /** The member that the parameter becomes; `text` is its value as it stands. */
  #member(text: string): AnswerPart {
    const name = this.#name!;
    this.#name = null;
    const before = this.#hasArguments ? ", " : "{";
    this.#hasArguments = true;
    const value = text.replace(/^\n/, "").replace(/\n$/, "");
    return { kind: "arguments", text: `${before}${JSON.stringify(name)}: ${this.#json(name, value)}` };
  }

  #close(): AnswerPart {
    return { kind: "arguments", text: this.#hasArguments ? "}" : "{}" };
  }

  /** A value is JSON where its schema allows what it says as JSON, and a text as it stands otherwise. */
  #json(name: string, value: string): string {
    const types = typesOf(this.#properties![name]);
    if (types?.length === 1 && types[0] === "string") return JSON.stringify(value);
    try {
      const parsed: unknown = JSON.parse(value);
      return types?.includes("string") && !types.some((type) => isOf(type, parsed)) ? JSON.stringify(value) : value;
    } catch {
      return JSON.stringify(value);
    }
  }

  end(): AnswerPart[] {
    if (!this.#properties) return said(OPEN + this.#held);
    // A value whose end the model forgot ends with the call. What is cut off stays open, so that nobody takes it for whole.
    const value = this.#value + this.#held;
    const at = this.#name === null ? -1 : value.indexOf(FUNCTION_END);
    if (at >= 0) return [this.#member(value.slice(0, at)), this.#close()];
    return this.#name === null && END.test(this.#held) ? [this.#close()] : [];
  }
}

/** The types that a schema allows, as far as it names them (`string | null` is often written as `anyOf`); null where it does not. */
function typesOf(schema: unknown): readonly unknown[] | null {
  if (!isJsonObject(schema)) return null;
  const { type } = schema;
  if (type !== undefined) return Array.isArray(type) ? type : [type];
  const parts = schema["anyOf"] ?? schema["oneOf"];
  if (!Array.isArray(parts)) return null;
  const each = parts.map(typesOf);
  return each.includes(null) ? null : each.flatMap((types) => types ?? []);
}

/** Whether a value is of a type of JSON Schema. */
function isOf(type: unknown, value: unknown): boolean {
  if (value === null) return type === "null";
  if (Array.isArray(value)) return type === "array";
  if (typeof value === "number") return type === "number" || (type === "integer" && Number.isInteger(value));
  return type === typeof value;
}

const isText = (schema: unknown): boolean => isJsonObject(schema) && schema["type"] === "string";

/** Lark for the value of a parameter and the mark behind it. */
function valueRule(tool: ToolFunction, name: string, schema: unknown): string {
  const end = JSON.stringify(`\n${PARAMETER_END}\n`);
  if (!isText(schema)) return `${larkJson(parameterSchema(tool, name))} ${end}`;
  const choices = (schema as { enum?: unknown }).enum;
  if (Array.isArray(choices) && choices.length > 0) {
    return `(${choices.map((text) => JSON.stringify(String(text))).join(" | ")}) ${end}`;
  }
  return "text_end";
}

function toolRule(tool: ToolFunction): string {
  const required = parametersOf(tool)["required"];
  const parameters = Object.entries(propertiesOf(tool)).map(([name, schema]) => {
    const rule = `${JSON.stringify(`<parameter=${name}>\n`)} ${valueRule(tool, name, schema)}`;
    return Array.isArray(required) && required.includes(name) ? rule : `(${rule})?`;
  });
  return [JSON.stringify(`<function=${tool.name}>\n`), ...parameters, '"</function>"'].join(" ");
}

export const qwenXml: ToolFormat = {
  name: "qwen3_coder",
  matches: (template) => template.includes(OPEN) && template.includes("<function="),
  marks: [OPEN, CLOSE],
  createParser: (tools) => new MarkedCalls([OPEN], () => new Body(tools)),
  grammar({ tools, isParallel, tokens }) {
    const { names, rules } = toolRules(tools, toolRule);
    return [
      `start: call${isParallel ? ' ("\\n" call)*' : ""}`,
      `call: ${larkMark(OPEN, tokens)} "\\n" (${names}) "\\n" ${larkMark(CLOSE, tokens)}`,
      rules,
      // A text ends with the first mark.
      `text_end[lazy]: /(.|\\n)*\\n<\\/parameter>\\n/`,
    ].join("\n");
  },
};
