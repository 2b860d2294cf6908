/** @file Reads JSON files of a checkpoint; errors name the file and the next step. */
import { TurboQuantError } from "../errors.ts";
import type { FileSource } from "./file-source.ts";

/** The largest tokenizer.json known to us has 35 MB (a vocabulary of 262,144); V8 strings end at 512 MB. */
const MAX_JSON_BYTES = 256 * 1024 * 1024;

export type JsonObject = { readonly [key: string]: unknown };

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Strings, which stay as they are, and the word that Python writes into JSON for what is no number there. */
const STRING_OR_INFINITY = /"(?:[^"\\]|\\.)*"|\bInfinity\b/g;

function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!text.includes("Infinity")) throw error;
    // A number that is too large for f64 is read as Infinity.
    return JSON.parse(text.replace(STRING_OR_INFINITY, (word) => (word === "Infinity" ? "1e999" : word)));
  }
}

/** @throws TurboQuantError invalid_file — not JSON, or not UTF-8 */
export function parseJson(bytes: Uint8Array, name: string): unknown {
  try {
    return parseText(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TurboQuantError(
      "invalid_file",
      `${name}: expected JSON, got text that does not parse (${why}); copy or download it again`,
      { file: name },
      { cause },
    );
  }
}

/**
 * Reads and parses a JSON file.
 * @throws TurboQuantError invalid_file — absent, too large or not JSON
 */
export async function readJson(source: FileSource, file: string): Promise<unknown> {
  const made = source.json?.(file);
  if (made !== undefined) return made;
  const size = await source.size(file);
  const name = `${source.name}/${file}`;
  if (size > MAX_JSON_BYTES) {
    throw new TurboQuantError(
      "invalid_file",
      `${name}: expected at most ${MAX_JSON_BYTES} bytes, got ${size}; this is no ${file}`,
      { file, size },
    );
  }
  return parseJson(await source.read(file, 0, size), name);
}

/** Reads a JSON file that must contain an object. */
export async function readJsonObject(source: FileSource, file: string): Promise<JsonObject> {
  const value = await readJson(source, file);
  if (isJsonObject(value)) return value;
  throw new TurboQuantError(
    "invalid_file",
    `${source.name}/${file}: expected a JSON object, got ${Array.isArray(value) ? "an array" : value === null ? "null" : typeof value}; copy or download it again`,
    { file },
  );
}
