/** @file JSON Schemas without what does not decide which values fit, so that they are short and every engine can read them. */
import { isJsonObject } from "../formats/json-file.ts";
import { asciiPattern } from "./ascii-pattern.ts";

/** For the engine: blanks between values are bounded, since a model that may write them for ever sometimes does. */
export const SCHEMA_OPTIONS = { "x-guidance": { whitespace_pattern: "[ \\t\\r\\n]{1,40}" } };

/** Keywords that only describe. */
const ANNOTATIONS = new Set(["title", "description", "default", "examples", "deprecated", "$comment"]);
/** Formats that the engine enforces; others describe, as JSON Schema has it for all of them. */
const FORMATS = new Set(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"]);
/** Keywords that say nothing with these values, and that generators of schemas write all the same. */
const IDLE: Readonly<Record<string, (value: unknown) => boolean>> = {
  propertyNames: (value) => isJsonObject(value) && Object.keys(value).length === 1 && value["type"] === "string",
  uniqueItems: (value) => value === false,
  format: (value) => typeof value === "string" && !FORMATS.has(value),
};
/** Keywords with regular expressions. */
const PATTERNS: Readonly<Record<string, (value: unknown) => unknown>> = {
  pattern: (value) => (typeof value === "string" ? asciiPattern(value) : value),
  patternProperties: (value) =>
    isJsonObject(value)
      ? Object.fromEntries(Object.entries(value).map(([pattern, part]) => [asciiPattern(pattern), part]))
      : value,
};
/** Keywords whose objects have names of the user's as keys. */
const NAMED = new Set(["properties", "patternProperties", "$defs", "definitions"]);
/** Keywords whose values are data, or that are read as they stand. */
const DATA = new Set(["const", "enum", "x-guidance"]);

export const compactSchema = (schema: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  compact(schema, false);

/** areNames: whether the keys are names of the user's and no keywords */
function compact(schema: Readonly<Record<string, unknown>>, areNames: boolean): Record<string, unknown> {
  const inner = (key: string, value: unknown): unknown => {
    if (!areNames && DATA.has(key)) return value;
    if (Array.isArray(value)) return value.map((part: unknown) => (isJsonObject(part) ? compact(part, false) : part));
    return isJsonObject(value) ? compact(value, !areNames && NAMED.has(key)) : value;
  };
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([key, value]) => areNames || !(ANNOTATIONS.has(key) || IDLE[key]?.(value)))
      .map(([key, value]) => [key, !areNames && PATTERNS[key] ? PATTERNS[key](inner(key, value)) : inner(key, value)]),
  );
}

/** A schema whose references to itself go on to mean the same when it is put at `place` of another. */
export function rebasedSchema(value: unknown, place: string): unknown {
  if (Array.isArray(value)) return value.map((part: unknown) => rebasedSchema(part, place));
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value).map(([key, part]) => {
    const isReference = key === "$ref" && typeof part === "string" && part.startsWith("#");
    return [key, isReference ? `#${place}${part.slice(1)}` : rebasedSchema(part, place)];
  });
  return Object.fromEntries(entries);
}
