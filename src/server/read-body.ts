/** @file Reads the JSON of a request body, in a strict encoding. Its size was limited when it was received. */
import type { z } from "zod";
import { closest } from "../closest.ts";
import { ApiError } from "./api-error.ts";

/** The most characters of a wrong value or name that an error message repeats. */
const MAX_SHOWN = 80;

/** What happens to fields that are not known: the request is refused, or they are left out and named. */
export type UnknownFields = "refuse" | "ignore";

export interface Body<T> {
  readonly data: T;
  /** Paths of fields that were left out. */
  readonly ignored: readonly string[];
}

/** @throws ApiError 400 — not a JSON object in UTF-8, or one that does not fit the schema */
export async function readBody<T>(
  request: Request,
  schema: z.ZodType<T>,
  unknownFields: UnknownFields = "refuse",
): Promise<Body<T>> {
  const text = decode(new Uint8Array(await request.arrayBuffer()));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, `body: expected a JSON object, got what is not JSON (${(error as Error).message})`, {
      code: "invalid_json",
    });
  }
  checkFields(value);
  const result = schema.safeParse(value);
  if (result.success) return { data: result.data, ignored: [] };
  const ignored = unknownFields === "ignore" ? removeUnknown(value, result.error) : [];
  const second = ignored.length > 0 ? schema.safeParse(value) : result;
  if (second.success) return { data: second.data, ignored };
  throw describeIssue(second.error, schema, value);
}

/** Far more than there are. */
const MAX_FIELDS = 256;

function checkFields(value: unknown): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return;
  const count = Object.keys(value).length;
  if (count <= MAX_FIELDS) return;
  throw new ApiError(400, `body: expected at most ${MAX_FIELDS} fields, got ${count}; leave out what is not known`, {
    code: "invalid_value",
  });
}

/** Takes fields that are not known out of a value. returns: their paths */
function removeUnknown(value: unknown, error: z.ZodError): string[] {
  const removed: string[] = [];
  for (const issue of error.issues) {
    if (issue.code !== "unrecognized_keys") continue;
    const holder = at(value, issue.path) as Record<string, unknown>;
    for (const key of issue.keys) {
      delete holder[key];
      removed.push([...issue.path, key].map(String).join("."));
    }
  }
  return removed;
}

const at = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key], value);

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ApiError(400, "body: expected UTF-8, got bytes that are not; encode the JSON as UTF-8", {
      code: "invalid_utf8",
    });
  }
}

/** Describes the first mistake, with its path. */
function describeIssue(error: z.ZodError, schema: z.ZodType, value: unknown): ApiError {
  const issue = error.issues[0]!;
  const path = issue.path.map(String).join(".");
  if (issue.code === "unrecognized_keys") {
    const name = issue.keys[0]!.slice(0, MAX_SHOWN);
    const known = path === "" ? Object.keys((schema as unknown as { shape?: object }).shape ?? {}) : [];
    const hint = closest(issue.keys[0]!, known);
    const field = path === "" ? name : `${path}.${name}`;
    return new ApiError(400, `${field}: unknown field${hint ? `; did you mean ${hint}?` : "; leave it out"}`, {
      code: "unknown_field",
      param: field,
    });
  }
  return new ApiError(400, `${path || "body"}: ${issue.message}, got ${show(at(value, issue.path))}`, {
    code: "invalid_value",
    ...(path && { param: path }),
  });
}

/** Lists and objects are only named as such, since they may be long or deeply nested. */
function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  return JSON.stringify(value).slice(0, MAX_SHOWN);
}
