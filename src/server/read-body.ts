/** @file Reads the JSON of a request body, with a limited size and a strict encoding. */
import type { z } from "zod";
import { closest } from "../closest.ts";
import { ApiError } from "./api-error.ts";

/** The most characters of a wrong value that an error message repeats. */
const MAX_SHOWN = 80;

/** @throws ApiError 400 — not a JSON object in UTF-8, or one that does not fit the schema; 413 — too long */
export async function readBody<T>(request: Request, limit: number, schema: z.ZodType<T>): Promise<T> {
  const text = decode(await readBytes(request, limit));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, `body: expected a JSON object, got what is not JSON (${(error as Error).message})`, {
      code: "invalid_json",
    });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw describeIssue(result.error, schema, value);
}

async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const tooLong = (): ApiError =>
    new ApiError(
      413,
      `body: expected at most ${limit} bytes; send less, or start the server with a larger --max-body`,
      {
        code: "body_too_large",
      },
    );
  if (Number(request.headers.get("content-length") ?? 0) > limit) throw tooLong();
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = request.body?.getReader();
  for (;;) {
    const next = await reader?.read().catch(() => {
      throw new ApiError(400, "body: it ended early; send as many bytes as content-length says", {
        code: "body_incomplete",
      });
    });
    if (!next || next.done) break;
    length += next.value.length;
    if (length > limit) {
      await reader?.cancel().catch(() => {});
      throw tooLong();
    }
    parts.push(next.value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

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
  if (issue.code === "unrecognized_keys" && path === "") {
    const name = issue.keys[0]!;
    const hint = closest(name, Object.keys((schema as unknown as { shape?: object }).shape ?? {}));
    return new ApiError(400, `${name}: unknown field${hint ? `; did you mean ${hint}?` : "; leave it out"}`, {
      code: "unknown_field",
      param: name,
    });
  }
  const got = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);
  return new ApiError(400, `${path || "body"}: ${issue.message}, got ${show(got)}`, {
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
