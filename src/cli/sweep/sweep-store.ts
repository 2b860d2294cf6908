/** @file The directory that stores a sweep: creates it, opens it to continue, reads it. */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TurboQuantError } from "../../errors.ts";
import { resultsTsv } from "../../lab/results-table.ts";
import {
  isIdentifying,
  isSameSweep,
  MANIFEST_FILE,
  RESULTS_FILE,
  readManifest,
  readRows,
  type StoreManifest,
  writeManifest,
} from "../../lab/store-format.ts";
import { latestRows, type SweepRow } from "../../lab/sweep-row.ts";
import { RowLog } from "./row-log.ts";
import { storeError } from "./store-errors.ts";
import { lockStore, type StoreLock } from "./store-lock.ts";

const TABLE_FILE = "results.tsv";

export interface StoreContents {
  readonly manifest: StoreManifest;
  readonly rows: readonly SweepRow[];
}

function readIfPresent(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** The manifest of a store; null when there is no store. */
export function readStoreManifest(directory: string): StoreManifest | null {
  const path = join(directory, MANIFEST_FILE);
  const bytes = readIfPresent(path);
  return bytes && readManifest(bytes.toString("utf8"), path);
}

/**
 * Reads a store without locking it, so a sweep may be running.
 * @throws TurboQuantError invalid_argument — no store
 */
export function readStore(directory: string): StoreContents {
  const manifest = readStoreManifest(directory);
  if (!manifest) {
    const isThere = statSync(directory, { throwIfNoEntry: false }) !== undefined;
    throw new TurboQuantError(
      "invalid_argument",
      `${directory}: expected the store of a sweep, ${isThere ? `found no ${MANIFEST_FILE} in it` : "which does not exist"}; check the path`,
      { directory },
    );
  }
  const path = join(directory, RESULTS_FILE);
  return { manifest, rows: readRows(readIfPresent(path) ?? new Uint8Array(0), path).rows };
}

/** Replaces a file atomically: the new content is flushed to disk before it takes the place of the old. */
function replaceFile(path: string, text: string): void {
  const draft = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(draft, text, { flush: true });
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw storeError(error, path);
  }
}

export class SweepStore {
  readonly directory: string;
  /** When it was created, as ISO 8601. */
  readonly created: string;
  /** Finished runs in the order in which they ended. */
  readonly rows: SweepRow[];
  /** Messages for the user about what was found on opening, such as that a sweep is continued. */
  readonly notes: readonly string[];
  readonly #lock: StoreLock;
  readonly #log: RowLog;
  #isClosed = false;

  private constructor(
    directory: string,
    created: string,
    rows: SweepRow[],
    notes: readonly string[],
    lock: StoreLock,
    log: RowLog,
  ) {
    this.directory = directory;
    this.created = created;
    this.rows = rows;
    this.notes = notes;
    this.#lock = lock;
    this.#log = log;
  }

  /**
   * Creates a store, or opens an existing one to continue it.
   * @throws TurboQuantError invalid_argument — another sweep works on it, or it belongs to another sweep
   * @throws TurboQuantError invalid_file — of another version, or damaged
   */
  static open(directory: string, manifest: StoreManifest): SweepStore {
    const lock = takeDirectory(directory);
    try {
      const notes: string[] = [];
      if (lock.wasStale) notes.push("the lock of a sweep that has ended without releasing it was taken over");
      const existing = readStoreManifest(directory);
      if (existing && !isSameSweep(existing, manifest)) refuseOther(directory, existing, manifest);
      const path = join(directory, RESULTS_FILE);
      const bytes = readIfPresent(path) ?? new Uint8Array(0);
      if (!existing && bytes.length > 0) {
        throw new TurboQuantError(
          "invalid_argument",
          `${directory}: holds ${RESULTS_FILE} but no ${MANIFEST_FILE}; restore it, or choose another --store`,
          { directory },
        );
      }
      const { rows, goodBytes } = readRows(bytes, path);
      // The budget may have changed, but the start of the sweep has not.
      const created = existing?.created ?? manifest.created;
      replaceFile(join(directory, MANIFEST_FILE), writeManifest({ ...manifest, created }));
      const log = RowLog.open(path, goodBytes);
      if (goodBytes < bytes.length) notes.push("an unfinished line at the end of the results was removed");
      return new SweepStore(directory, created, rows, notes, lock, log);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Stores a row. After this returns, the row survives a crash. */
  add(row: SweepRow): void {
    this.#log.append(row);
    this.rows.push(row);
  }

  /**
   * Writes the table of the rows and releases the lock.
   *
   * isFailing: another error is about to be reported, so an error of the table must not replace it
   */
  close(isFailing = false): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      replaceFile(join(this.directory, TABLE_FILE), resultsTsv(latestRows(this.rows)));
    } catch (error) {
      if (!isFailing) throw error;
    } finally {
      this.#log.close();
      this.#lock.release();
    }
  }
}

function takeDirectory(directory: string): StoreLock {
  try {
    mkdirSync(directory, { recursive: true });
    return lockStore(directory);
  } catch (error) {
    throw storeError(error, directory);
  }
}

function refuseOther(directory: string, existing: StoreManifest, wanted: StoreManifest): never {
  const differing = [
    ...(existing.textSha256 !== wanted.textSha256 ? ["another text"] : []),
    ...(existing.defaultModel !== wanted.defaultModel ? [`another model (${existing.defaultModel})`] : []),
    ...Object.keys(wanted.space)
      .filter(isIdentifying)
      .filter((key) => {
        const name = key as keyof StoreManifest["space"];
        return JSON.stringify(existing.space[name]) !== JSON.stringify(wanted.space[name]);
      })
      .map((key) => `another ${key}`),
  ];
  throw new TurboQuantError(
    "invalid_argument",
    `${directory}: belongs to another sweep: ${differing.join(", ")}; choose another --store, or go on with this one by --store alone`,
    { directory, differing },
  );
}
