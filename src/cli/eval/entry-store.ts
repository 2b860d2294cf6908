/**
 * @file Keeps what the exact cache gave in files, so that evaluations of other formats need not compute it again: in `turboquant/eval` of
 * the hub's cache, at most a few gigabytes, the least recently used going first.
 *
 * A file is the SHA-256 of its content and the content. What does not match was cut or damaged, and counts as absent.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { EntryStore } from "../../eval/exact-cache.ts";
import { hubCacheDirectory } from "../../node/hub/hub-settings.ts";
import { writeFileAtomically } from "../../node/write-file-atomically.ts";
import { buildCommit, packageVersion } from "../build-info.ts";

/** Environment variable that keeps evaluations from keeping anything, when it is `off`. */
const CACHE_VARIABLE = "TURBOQUANT_EVAL_CACHE";
/** The most bytes of all files together. */
const MAX_BYTES = 2e9;
const HASH_BYTES = 32;

const sha256 = (bytes: Uint8Array | string): Buffer => createHash("sha256").update(bytes).digest();

export class FileEntryStore implements EntryStore {
  readonly folder: string;
  readonly #version: string;
  readonly maxBytes: number;

  /** version: of the program, since another one may compute other numbers */
  constructor(folder: string, version: string, maxBytes: number = MAX_BYTES) {
    this.folder = folder;
    this.#version = version;
    this.maxBytes = maxBytes;
  }

  async get(key: string): Promise<Uint8Array | null> {
    const path = this.#path(key);
    const file = await readFile(path).catch(() => null);
    if (!file) return null;
    const content = file.subarray(HASH_BYTES);
    if (!sha256(content).equals(file.subarray(0, HASH_BYTES))) {
      await rm(path, { force: true }).catch(() => {});
      return null;
    }
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
    return content;
  }

  /** Keeps the entry if it can; a full disk or a folder that cannot be written only costs later runs their time. */
  async put(key: string, parts: readonly Uint8Array[]): Promise<void> {
    if (parts.reduce((sum, { length }) => sum + length, 0) > this.maxBytes) return;
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    try {
      await mkdir(this.folder, { recursive: true });
      await writeFileAtomically(this.#path(key), [hash.digest(), ...parts]);
      await this.#prune();
    } catch {
      // As said above.
    }
  }

  /** Forgets everything. */
  async clear(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  #path = (key: string): string => join(this.folder, sha256(`${this.#version}\n${key}`).toString("hex"));

  async #prune(): Promise<void> {
    const files = await Promise.all(
      (await readdir(this.folder)).map(async (name) => {
        const path = join(this.folder, name);
        const { size, mtimeMs } = await stat(path);
        return { path, size, mtimeMs };
      }),
    );
    let total = files.reduce((sum, { size }) => sum + size, 0);
    for (const { path, size } of files.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total <= this.maxBytes) return;
      await rm(path, { force: true });
      total -= size;
    }
  }
}

export interface StoreFlags {
  /** False with `--no-cache`. */
  readonly cache: boolean;
  readonly clearCache?: boolean;
}

/** The store of this user, emptied first if that was asked for; null when nothing is to be kept. */
export async function entryStore({ cache, clearCache }: StoreFlags): Promise<FileEntryStore | null> {
  const version = `${packageVersion()} ${(await buildCommit()) ?? ""}`;
  const store = new FileEntryStore(join(hubCacheDirectory(), "turboquant", "eval"), version);
  if (clearCache) await store.clear();
  return cache && process.env[CACHE_VARIABLE] !== "off" ? store : null;
}
