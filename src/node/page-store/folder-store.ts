/** @file Shared pages as files of a folder, on this machine or on a file system that several mount. */
import { constants, mkdirSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PageStore } from "../../engine/page-store/page-store.ts";
import { TurboQuantError } from "../../errors.ts";

export interface FolderStoreOptions {
  /** The most bytes of all files; those that were used least recently are removed beyond that. */
  readonly mostBytes: number;
}

/** Values, named by their key, and files that are being written, of which a process that was killed leaves some behind. */
const VALUE = /^[0-9a-f]{64}$/;
const TEMPORARY = /^\.[0-9a-f-]{36}\.tmp$/;
const LEFT_BEHIND_MS = 60_000;
/** Files are counted again whenever this share of the limit has been written. */
const COUNT_SHARE = 1 / 16;
/** What is left when the limit is passed, as a share of it. */
const KEPT_SHARE = 0.9;

interface Found {
  readonly path: string;
  readonly numBytes: number;
  readonly usedAt: number;
}

/**
 * folder: created if it does not exist
 * @throws TurboQuantError invalid_argument — it cannot be made
 */
export function openFolderStore(folder: string, { mostBytes }: FolderStoreOptions): PageStore {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new TurboQuantError(
      "invalid_argument",
      `--page-store folder:${folder}: cannot be made (${(cause as NodeJS.ErrnoException).code}); choose a folder that can be written`,
      {},
      { cause },
    );
  }
  const placeOf = (key: string): string => join(folder, key.slice(0, 2));
  const pathOf = (key: string): string => join(placeOf(key), key);
  /** Bytes written since the files were counted. */
  let written = Number.POSITIVE_INFINITY;
  let counting: Promise<void> | null = null;

  const count = (): void => {
    if (counting || written < mostBytes * COUNT_SHARE) return;
    written = 0;
    // Somebody else may be removing the same files; the next count sees what is left.
    counting = keepBelow(folder, mostBytes)
      .catch(() => {})
      .then(() => {
        counting = null;
      });
  };

  return {
    name: `folder:${folder}`,
    async has(keys) {
      const is = async (key: string): Promise<boolean> => {
        const stats = await stat(pathOf(key)).catch(nullIfMissing);
        return stats !== null;
      };
      return Promise.all(keys.map(is));
    },
    async get(key, mostBytes) {
      const path = pathOf(key);
      const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
      const file = await open(path, flags).catch(nullIfMissing);
      if (!file) return null;
      try {
        const stats = await file.stat();
        if (!stats.isFile() || stats.size > mostBytes) return null;
        const bytes = new Uint8Array(await file.readFile());
        const now = new Date();
        // Says that it was used; a folder that can only be read does without.
        await utimes(path, now, now).catch(() => {});
        return bytes;
      } finally {
        await file.close();
      }
    },
    async put(key, value, signal) {
      await mkdir(placeOf(key), { recursive: true });
      // Renamed when it is whole, so that nobody reads half of it.
      const temporary = join(placeOf(key), `.${crypto.randomUUID()}.tmp`);
      try {
        await writeFile(temporary, value, { flag: "wx", signal });
        await rename(temporary, pathOf(key));
      } catch (error) {
        await rm(temporary, { force: true }).catch(() => {});
        throw error;
      }
      written += value.length;
      count();
    },
    async close() {
      await counting;
    },
  };
}

function nullIfMissing(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
  throw error;
}

/** Removes the files that were used least recently until the others have fewer bytes than the limit, and files that were left behind. */
async function keepBelow(folder: string, mostBytes: number): Promise<void> {
  const found: Found[] = [];
  for (const place of await readdir(folder)) {
    if (!/^[0-9a-f]{2}$/.test(place)) continue;
    for (const name of await readdir(join(folder, place))) {
      const path = join(folder, place, name);
      const stats = await stat(path).catch(() => null);
      if (!stats) continue;
      if (VALUE.test(name)) found.push({ path, numBytes: stats.size, usedAt: stats.mtimeMs });
      else if (TEMPORARY.test(name) && stats.mtimeMs < Date.now() - LEFT_BEHIND_MS) await rm(path, { force: true });
    }
  }
  let numBytes = found.reduce((sum, file) => sum + file.numBytes, 0);
  if (numBytes <= mostBytes) return;
  found.sort((a, b) => a.usedAt - b.usedAt);
  for (const { path, numBytes: own } of found) {
    if (numBytes <= mostBytes * KEPT_SHARE) return;
    await rm(path, { force: true });
    numBytes -= own;
  }
}
