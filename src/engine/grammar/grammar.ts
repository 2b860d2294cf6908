/** @file What an answer can be bound to, and its text for the engine. */
import { asciiPattern } from "../../chat/ascii-pattern.ts";
import { compactSchema, SCHEMA_OPTIONS } from "../../chat/json-schema.ts";
import { TurboQuantError } from "../../errors.ts";
import { isJsonObject } from "../../formats/json-file.ts";
import { larkFromGbnf } from "./gbnf.ts";
import type { GrammarKind } from "./grammar-module.ts";

/** A JSON Schema; `{}` or `true` for any JSON value. */
export type JsonSchema = boolean | Readonly<Record<string, unknown>>;

/**
 * What an answer must be, whole:
 * - `schema`: JSON that fits a JSON Schema
 * - `regex`: text that a regular expression matches from beginning to end
 * - `choices`: one of these texts
 * - `grammar`: text of a context-free grammar, in Lark's syntax or in llama.cpp's GBNF
 */
export type Grammar =
  | { readonly schema: JsonSchema }
  | { readonly regex: string }
  | { readonly choices: readonly string[] }
  | { readonly grammar: string };

/** The most characters of a grammar's text; what can be compiled within a moment. */
const MAX_TEXT = 1 << 16;

/** @throws TurboQuantError invalid_argument — not a grammar, or one that is too long */
export function grammarText(grammar: Grammar): { readonly kind: GrammarKind; readonly text: string } {
  const { kind, text } = written(grammar);
  if (text.length > MAX_TEXT) {
    throw new TurboQuantError(
      "invalid_argument",
      `expected at most ${MAX_TEXT} characters, got ${text.length}; shorten descriptions, or split it`,
    );
  }
  return { kind, text };
}

function written(grammar: Grammar): { readonly kind: GrammarKind; readonly text: string } {
  if ("schema" in grammar) return { kind: "schema", text: schemaText(grammar.schema) };
  if ("regex" in grammar) return { kind: "regex", text: asciiPattern(expectText(grammar.regex)) };
  if ("choices" in grammar) return { kind: "lark", text: choicesText(grammar.choices) };
  const text = expectText(grammar.grammar);
  return { kind: "lark", text: text.includes("::=") ? larkFromGbnf(text) : text };
}

function expectText(text: unknown): string {
  if (typeof text === "string" && text !== "") return text;
  throw new TurboQuantError("invalid_argument", "expected a text that is not empty");
}

function schemaText(schema: unknown): string {
  if (schema !== true && schema !== false && !isJsonObject(schema)) {
    throw new TurboQuantError("invalid_argument", "expected a JSON Schema: an object, true or false");
  }
  if (schema === false) throw new TurboQuantError("invalid_argument", "the schema is false, which no JSON fits");
  let text: string;
  try {
    text = JSON.stringify({ ...SCHEMA_OPTIONS, ...compactSchema(schema === true ? {} : schema) });
  } catch (cause) {
    // Circles, and nesting deeper than the stack.
    throw new TurboQuantError("invalid_argument", "the schema cannot be written as JSON", {}, { cause });
  }
  return text;
}

function choicesText(choices: readonly string[]): string {
  if (!Array.isArray(choices) || choices.length === 0 || !choices.every((text) => typeof text === "string")) {
    throw new TurboQuantError("invalid_argument", "expected a list of texts that is not empty");
  }
  if (choices.some((text) => text === "")) {
    throw new TurboQuantError("invalid_argument", "expected texts that are not empty");
  }
  // Lark writes texts as JSON does.
  return `start: ${choices.map((text) => JSON.stringify(text)).join(" | ")}`;
}
