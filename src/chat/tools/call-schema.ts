/** @file JSON Schemas and Lark for calls. */
import { compactSchema, rebasedSchema, SCHEMA_OPTIONS } from "../json-schema.ts";
import type { MarkTokens, ToolFunction } from "./tool-format.ts";

type Schema = Readonly<Record<string, unknown>>;

const ANY_OBJECT: Schema = { type: "object" };

export const parametersOf = ({ parameters }: ToolFunction): Schema => compactSchema(parameters ?? ANY_OBJECT);

/** A call as an object of a name and its arguments. key: what the family calls the arguments */
export function callSchema(tool: ToolFunction, key = "arguments"): Schema {
  return {
    type: "object",
    properties: { name: { const: tool.name }, [key]: rebasedSchema(parametersOf(tool), `/properties/${key}`) },
    required: ["name", key],
    additionalProperties: false,
  };
}

/** References to places other than definitions. */
const OTHER_REFERENCE = /"\$ref":"#(?!\/\$defs\/|\/definitions\/)/;

/** The schema of one parameter, with what it may refer to: the definitions, or all of the parameters where that is not enough. */
export function parameterSchema(tool: ToolFunction, name: string): Schema {
  const parameters = parametersOf(tool) as Readonly<Record<string, Record<string, Schema>>>;
  if (OTHER_REFERENCE.test(JSON.stringify(parameters))) {
    const place = "/$defs/parameters";
    return {
      $ref: `#${place}/properties/${name}`,
      $defs: { parameters: rebasedSchema(parameters, place) },
    };
  }
  const { properties, $defs, definitions } = parameters;
  return { ...($defs && { $defs }), ...(definitions && { definitions }), ...properties![name] };
}

/** JSON of a schema as a part of a grammar. */
export const larkJson = (schema: Schema): string => `%json ${JSON.stringify({ ...SCHEMA_OPTIONS, ...schema })}`;

/** A mark in Lark: a special token by its id, other text as it stands. */
export function larkMark(mark: string, tokens: MarkTokens): string {
  const id = tokens.tokenId(mark);
  return id !== undefined && tokens.isSpecial(id) ? `<[${id}]>` : JSON.stringify(mark);
}

/** One rule for each tool, named in order: `rules` to append, and `names` to choose from. */
export function toolRules(
  tools: readonly ToolFunction[],
  bodyOf: (tool: ToolFunction) => string,
): { readonly names: string; readonly rules: string } {
  return {
    names: tools.map((_, index) => `tool${index}`).join(" | "),
    rules: tools.map((tool, index) => `tool${index}: ${bodyOf(tool)}`).join("\n"),
  };
}
