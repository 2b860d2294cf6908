/** @file JSON Schemas without what does not decide which values fit, so that they are short and every engine can read them. */
import { isJsonObject } from "../formats/json-file.ts";
import { asciiPattern } from "./ascii-pattern.ts";

/** For the engine: blanks between values are bounded, since a model that may write them for ever sometimes does. */
export const SCHEMA_OPTIONS = { "x-guidance": { whitespace_pattern: "[ \\t\\r\\n]{1,40}" } };

/** Keywords that only describe. */
const ANNOTATIONS = new Set(["title", "description", "default", "examples", "deprecated", "$comment", "$anchor"]);
/** Formats that the engine enforces; others describe, as JSON Schema has it for all of them. */
export const ENFORCED_FORMATS: ReadonlySet<string> = new Set([
  "date-time",
  "time",
  "date",
  "duration",
  "email",
  "hostname",
  "ipv4",
  "ipv6",
  "uuid",
  "uri",
]);
/** Keywords that say nothing with these values, and that generators of schemas write all the same. */
const IDLE: Readonly<Record<string, (value: unknown) => boolean>> = {
  propertyNames: (value) => isJsonObject(value) && Object.keys(value).length === 1 && value["type"] === "string",
  uniqueItems: (value) => value === false,
  format: (value) => typeof value === "string" && !ENFORCED_FORMATS.has(value),
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
  compact(plainReferences(schema), false);

/** areNames: whether the keys are names of the user's and no keywords */
function compact(schema: Readonly<Record<string, unknown>>, areNames: boolean): Record<string, unknown> {
  const inner = (key: string, value: unknown): unknown => {
    if (!areNames && DATA.has(key)) return value;
    if (Array.isArray(value)) return value.map((part: unknown) => (isJsonObject(part) ? compact(part, false) : part));
    return isJsonObject(value) ? compact(value, !areNames && NAMED.has(key)) : value;
  };
  return Object.fromEntries(
    (areNames ? Object.entries(schema) : ordered(schema))
      .filter(([key, value]) => areNames || !(ANNOTATIONS.has(key) || IDLE[key]?.(value)))
      .map(([key, value]) => [key, !areNames && PATTERNS[key] ? PATTERNS[key](inner(key, value)) : inner(key, value)]),
  );
}

/** Keywords that put other schemas beside their own. */
const COMBINING = new Set(["allOf", "anyOf", "oneOf", "$ref"]);

/** Keywords in an order that changes nothing for JSON Schema: the engine forgets `additionalItems` where another schema comes before `items`. */
function ordered(schema: Readonly<Record<string, unknown>>): [string, unknown][] {
  const entries = Object.entries(schema);
  if (!("additionalItems" in schema)) return entries;
  const isLast = ([key]: [string, unknown]): boolean => COMBINING.has(key);
  return [...entries.filter((entry) => !isLast(entry)), ...entries.filter(isLast)];
}

/** A schema whose references to itself go on to mean the same when it is put at `place` of another. */
export const rebasedSchema = (schema: unknown, place: string): unknown =>
  withReferences(schema, (reference) => `#${place}${reference.slice(1)}`);

/** A schema with its references into itself changed; data that look like references are none. areNames: see `compact` */
function withReferences(value: unknown, change: (reference: string) => string, areNames = false): unknown {
  if (Array.isArray(value)) return value.map((part: unknown) => withReferences(part, change));
  if (!isJsonObject(value)) return value;
  const entries = Object.entries(value).map(([key, part]) => {
    if (!areNames && DATA.has(key)) return [key, part];
    if (!areNames && key === "$ref" && typeof part === "string" && part.startsWith("#")) return [key, change(part)];
    return [key, withReferences(part, change, !areNames && NAMED.has(key))];
  });
  return Object.fromEntries(entries);
}

/** A schema that refers to places as the engine finds them: by pointers, whose parts are names as they stand, and by no `$anchor`. */
function plainReferences(schema: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const places = new Map<string, string>();
  const find = (value: unknown, place: string): void => {
    if (typeof value !== "object" || value === null) return;
    const { $anchor } = value as { readonly $anchor?: unknown };
    if (typeof $anchor === "string" && !places.has($anchor)) places.set($anchor, place);
    for (const [key, part] of Object.entries(value)) find(part, `${place}/${key}`);
  };
  find(schema, "#");
  return withReferences(schema, (reference) => places.get(reference.slice(1)) ?? decoded(reference)) as Record<
    string,
    unknown
  >;
}

function decoded(reference: string): string {
  try {
    return decodeURIComponent(reference);
  } catch {
    return reference;
  }
}
