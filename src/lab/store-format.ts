/**
 * @file The files of a sweep's store: sweep.json says what is swept, and results.jsonl has one line for each finished run. All
 * other files are made from these two. docs/lab.md describes them.
 */
import { TurboQuantError } from "../errors.ts";
import { isJsonObject } from "../formats/json-file.ts";
import { checkSpace, type SearchSpace } from "./space-schema.ts";
import type { SweepRow } from "./sweep-row.ts";

const STORE_FORMAT = "turboquant-sweep";
/** Version of the store's format; other versions cannot be read. Before 3 the presets of our codes held sinks and window in 16 bits, so names meant other caches. */
const STORE_VERSION = 3;

export const MANIFEST_FILE = "sweep.json";
export const RESULTS_FILE = "results.jsonl";

export interface StoreManifest {
  /** The space with the command's flags applied. */
  readonly space: SearchSpace;
  /** Model of the parts that name none. */
  readonly defaultModel: string;
  readonly textSha256: string | null;
  /** As ISO 8601. */
  readonly created: string;
}

export function writeManifest(manifest: StoreManifest): string {
  return `${JSON.stringify({ format: STORE_FORMAT, version: STORE_VERSION, ...manifest }, null, 2)}\n`;
}

/** @throws TurboQuantError invalid_file — not a store, damaged, or of another version */
export function readManifest(text: string, path: string): StoreManifest {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TurboQuantError(
      "invalid_file",
      `${path}: expected JSON, got text that does not parse; restore it, or choose another --store`,
      { path },
      { cause },
    );
  }
  if (value?.["format"] !== STORE_FORMAT) {
    throw new TurboQuantError(
      "invalid_file",
      `${path}: expected the store of a sweep (format ${STORE_FORMAT}), got ${JSON.stringify(value?.["format"])}; choose another --store`,
      { path },
    );
  }
  if (value["version"] !== STORE_VERSION) {
    throw new TurboQuantError(
      "invalid_file",
      `${path}: expected store version ${STORE_VERSION}, got ${value["version"]}; read it with the turboquant that made it, or choose another --store`,
      { path, version: value["version"] },
    );
  }
  return {
    space: checkSpace(value["space"], path),
    defaultModel: String(value["defaultModel"]),
    textSha256: (value["textSha256"] ?? null) as string | null,
    created: String(value["created"]),
  };
}

/**
 * Whether stores with different values of this setting are different sweeps. The budget only says how far to go, and the text
 * file is identified by its hash.
 */
export const isIdentifying = (key: string): boolean => key !== "budget" && key !== "text";

/** Whether two sweeps may share a store, because everything their rows depend on is the same. */
export function isSameSweep(a: StoreManifest, b: StoreManifest): boolean {
  const key = ({ space, defaultModel, textSha256 }: StoreManifest): string =>
    JSON.stringify([Object.entries(space).filter(([name]) => isIdentifying(name)), defaultModel, textSha256]);
  return key(a) === key(b);
}

export interface StoredRows {
  readonly rows: SweepRow[];
  /** Bytes of complete lines. A rest after them is a line that was being written when the process was killed. */
  readonly goodBytes: number;
}

/**
 * Parses results.jsonl.
 * @throws TurboQuantError invalid_file — a damaged line that is not the last
 */
export function readRows(bytes: Uint8Array, path: string): StoredRows {
  const rows: SweepRow[] = [];
  const decoder = new TextDecoder();
  let at = 0;
  for (let line = 1; at < bytes.length; line++) {
    const end = bytes.indexOf(0x0a, at);
    // The line end is written last, so a line without it is incomplete.
    if (end < 0) break;
    const row = parseRow(decoder.decode(bytes.subarray(at, end)));
    if (!row) {
      throw new TurboQuantError(
        "invalid_file",
        `${path}: expected a run on line ${line}, got something else; a sweep never writes that: restore the file, or delete the line`,
        { path, line },
      );
    }
    rows.push(row);
    at = end + 1;
  }
  return { rows, goodBytes: at };
}

function parseRow(text: string): SweepRow | null {
  try {
    const row = JSON.parse(text) as SweepRow;
    const isRun = typeof row.id === "string" && (row.status === "done" || row.status === "failed");
    return isRun && isJsonObject(row.parameters) ? row : null;
  } catch {
    return null;
  }
}
