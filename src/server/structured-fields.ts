/** @file The fields that bind an answer to a schema or a grammar: OpenAI's, and those of vLLM, SGLang and llama.cpp. */
import { z } from "zod";
import type { Grammar } from "../engine/grammar/grammar.ts";
import { ApiError } from "./api-error.ts";
import { flag, text } from "./request-fields.ts";

const SCHEMA = "expected a JSON Schema: an object, true or false";
const schema = z.union([z.boolean(), z.record(z.string(), z.unknown())], { error: SCHEMA });
/** vLLM takes schemas as JSON texts as well. */
const schemaOrText = z.union([z.boolean(), z.record(z.string(), z.unknown()), z.string()], { error: SCHEMA });
const choices = z.array(text.min(1), { error: "expected a list of texts" }).min(1, "expected at least one text");

const responseFormat = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("text") }),
    z.strictObject({ type: z.literal("json_object"), schema: schema.nullish() }),
    z.strictObject({
      type: z.literal("json_schema"),
      json_schema: z.strictObject(
        { name: text.nullish(), description: text.nullish(), schema: schema.nullish(), strict: flag },
        { error: "expected {name, schema}" },
      ),
    }),
  ],
  { error: 'expected {type: "text"}, {type: "json_object"} or {type: "json_schema", json_schema: {name, schema}}' },
);

export const structuredFields = {
  response_format: responseFormat.nullish(),
  guided_json: schemaOrText.nullish(),
  guided_regex: text.nullish(),
  guided_choice: choices.nullish(),
  guided_grammar: text.nullish(),
  structured_outputs: z
    .strictObject(
      {
        json: schemaOrText.nullish(),
        regex: text.nullish(),
        choice: choices.nullish(),
        grammar: text.nullish(),
        json_object: flag,
      },
      { error: "expected one of {json}, {regex}, {choice}, {grammar} and {json_object: true}" },
    )
    .nullish(),
  json_schema: schemaOrText.nullish(),
  grammar: text.nullish(),
  regex: text.nullish(),
  ebnf: text.nullish(),
};

export type StructuredRequest = {
  readonly [K in keyof typeof structuredFields]?: z.infer<(typeof structuredFields)[K]>;
};

const ANY_OBJECT = { type: "object" };

/** What an answer is bound to, and the field that says so. */
export interface RequestedGrammar {
  readonly grammar: Grammar;
  readonly field: string;
}

/**
 * What the answer is bound to; null for nothing.
 * @throws ApiError 400 — several fields that say so
 */
export function requestedGrammar(request: StructuredRequest): RequestedGrammar | null {
  const format = request.response_format;
  const outputs = request.structured_outputs ?? {};
  const wanted: readonly (readonly [string, Grammar | null])[] = [
    [
      "response_format",
      format?.type === "json_object"
        ? { schema: format.schema ?? ANY_OBJECT }
        : format?.type === "json_schema"
          ? { schema: format.json_schema.schema ?? ANY_OBJECT }
          : null,
    ],
    ["guided_json", ofSchema(request.guided_json, "guided_json")],
    ["guided_regex", ofRegex(request.guided_regex)],
    ["guided_choice", request.guided_choice ? { choices: request.guided_choice } : null],
    ["guided_grammar", ofGrammar(request.guided_grammar)],
    ["structured_outputs.json", ofSchema(outputs.json, "structured_outputs.json")],
    ["structured_outputs.json_object", outputs.json_object ? { schema: ANY_OBJECT } : null],
    ["structured_outputs.regex", ofRegex(outputs.regex)],
    ["structured_outputs.choice", outputs.choice ? { choices: outputs.choice } : null],
    ["structured_outputs.grammar", ofGrammar(outputs.grammar)],
    ["json_schema", ofSchema(request.json_schema, "json_schema")],
    ["grammar", ofGrammar(request.grammar)],
    ["regex", ofRegex(request.regex)],
    ["ebnf", ofGrammar(request.ebnf)],
  ];
  const [first, second] = wanted.filter(([, grammar]) => grammar !== null);
  if (first && second) {
    throw new ApiError(400, `${second[0]}: expected one of it and ${first[0]}, got both; leave one out`, {
      code: "invalid_value",
      param: second[0],
    });
  }
  return first ? { field: first[0], grammar: first[1]! } : null;
}

const ofRegex = (regex: string | null | undefined): Grammar | null => (typeof regex === "string" ? { regex } : null);
const ofGrammar = (grammar: string | null | undefined): Grammar | null =>
  typeof grammar === "string" ? { grammar } : null;

function ofSchema(value: z.infer<typeof schemaOrText> | null | undefined, field: string): Grammar | null {
  if (value === null || value === undefined) return null;
  if (typeof value !== "string") return { schema: value };
  try {
    return { schema: JSON.parse(value) as boolean };
  } catch (error) {
    throw new ApiError(400, `${field}: expected a JSON Schema, got what is not JSON (${(error as Error).message})`, {
      code: "invalid_value",
      param: field,
    });
  }
}
