/**
 * @file What a sweep's store holds: sweep.json says what is swept, results.jsonl has a line a finished run and is the truth;
 * everything else is made from the two. docs/lab.md describes both.
 */
import { TurboQuantError } from "../errors.ts";
import { checkSpace, type SearchSpace } from "./space-schema.ts";
import type { SweepRow } from "./sweep-row.ts";

const STORE_FORMAT = "turboquant-sweep";
/** Another number is another format, older or newer; there is no reading across. */
const STORE_VERSION = 2;

export const MANIFEST_FILE = "sweep.json";
export const RESULTS_FILE = "results.jsonl";

export interface StoreManifest {
  /** Resolved: flags of the command included. */
  readonly space: SearchSpace;
  /** Model of parts that name none. */
  readonly defaultModel: string;
  readonly textSha256: string | null;
  /** ISO 8601. */
  readonly created: string;
}

export function writeManifest(manifest: StoreManifest): string {
  return `${JSON.stringify({ format: STORE_FORMAT, version: STORE_VERSION, ...manifest }, null, 2)}\n`;
}

/** @throws TurboQuantError invalid_file — no store, a damaged one or one of another version */
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

/** Settings of a space by which stores are told apart: not how far to go, nor where the text lies, which its hash identifies. */
export const isIdentifying = (key: string): boolean => key !== "budget" && key !== "text";

/** Whether two sweeps may share a store: all that rows depend on is the same. */
export function isSameSweep(a: StoreManifest, b: StoreManifest): boolean {
  const key = ({ space, defaultModel, textSha256 }: StoreManifest): string =>
    JSON.stringify([Object.entries(space).filter(([name]) => isIdentifying(name)), defaultModel, textSha256]);
  return key(a) === key(b);
}

export interface StoredRows {
  readonly rows: SweepRow[];
  /** Bytes of whole lines; what follows is a line that was being written when the process was killed. */
  readonly goodBytes: number;
}

/**
 * Reads results.jsonl.
 * @throws TurboQuantError invalid_file — a damaged line that is not the last
 */
export function readRows(bytes: Uint8Array, path: string): StoredRows {
  const rows: SweepRow[] = [];
  const decoder = new TextDecoder();
  let at = 0;
  for (let line = 1; at < bytes.length; line++) {
    const end = bytes.indexOf(0x0a, at);
    // A line counts when its end was written; it is written last.
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
    return typeof row.id === "string" && (row.status === "done" || row.status === "failed") ? row : null;
  } catch {
    return null;
  }
}
