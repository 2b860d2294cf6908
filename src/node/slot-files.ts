/** @file Stores saved conversations as files of one directory. */
import { accessSync, constants, mkdirSync } from "node:fs";
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { TurboQuantError } from "../errors.ts";
import type { SlotStore } from "../server/server-context.ts";

/** Names of files that are being written. Requests cannot mean them: their names do not begin with a dot. */
const TEMPORARY = /^\.[0-9a-f-]{36}\.tmp$/;
/** A file that nobody has written to for so long was left behind by a process that was killed. */
const LEFT_BEHIND_MS = 60_000;
/** Faults of a name. All others are those of the disk. */
const OF_NAMES = new Set([
  "ENOENT",
  "ENAMETOOLONG",
  "EISDIR",
  "ENOTDIR",
  "ELOOP",
  "EINVAL",
  "EILSEQ",
  "EEXIST",
  "ENOTEMPTY",
]);

/**
 * directory: created if it does not exist · onMade: told of the first folder of the path that was not there
 * @throws TurboQuantError invalid_argument — it cannot be created or written to
 */
export function slotFiles(directory: string, onMade?: (folder: string) => void): SlotStore {
  try {
    const made = mkdirSync(directory, { recursive: true });
    if (made !== undefined) onMade?.(made);
    accessSync(directory, constants.W_OK);
  } catch (cause) {
    throw new TurboQuantError(
      "invalid_argument",
      `--slot-save-path ${directory}: cannot be used (${(cause as NodeJS.ErrnoException).code}); choose a directory that can be written`,
      {},
      { cause },
    );
  }
  const cleaned = removeLeftBehind(directory);
  return {
    async write(name, parts) {
      await cleaned;
      // Written under a name of its own and renamed, so that a file is whole or not there, whoever else writes to its name.
      const temporary = join(directory, `.${crypto.randomUUID()}.tmp`);
      let file: FileHandle | undefined;
      let written = 0;
      try {
        file = await open(temporary, "wx");
        for await (const part of parts) {
          await file.writeFile(part);
          written += part.length;
        }
        // A name that outlives a power cut must not stand for bytes that did not.
        await file.sync();
        await file.close();
        await rename(temporary, join(directory, name));
        await syncDirectory(directory);
      } catch (error) {
        await file?.close().catch(() => {});
        await rm(temporary, { force: true }).catch(() => {});
        throw fileError(error, name, "written", "choose another file name");
      }
      return written;
    },
    async read(name) {
      let file: FileHandle | undefined;
      try {
        // Neither through links out of the directory, nor from pipes that never end.
        file = await open(
          join(directory, name),
          constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
        );
        if (!(await file.stat()).isFile()) throw Object.assign(new Error("not a file"), { code: "EINVAL" });
        return new Uint8Array(await file.readFile());
      } catch (error) {
        throw fileError(error, name, "read", "save a slot under this name first");
      } finally {
        await file?.close().catch(() => {});
      }
    },
  };
}

async function removeLeftBehind(directory: string): Promise<void> {
  const before = Date.now() - LEFT_BEHIND_MS;
  for (const name of await readdir(directory).catch(() => [])) {
    if (!TEMPORARY.test(name)) continue;
    const path = join(directory, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (mtimeMs < before) await rm(path, { force: true }).catch(() => {});
  }
}

/** Makes a rename last. Some systems cannot open directories, and do without. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r").catch(() => null);
  await handle?.sync().catch(() => {});
  await handle?.close().catch(() => {});
}

function fileError(cause: unknown, name: string, what: string, hint: string): unknown {
  const code = (cause as NodeJS.ErrnoException).code;
  if (cause instanceof TurboQuantError || code === undefined) return cause;
  const message = `slots: ${name.slice(0, 100)} cannot be ${what} (${code})`;
  return OF_NAMES.has(code)
    ? new TurboQuantError("invalid_argument", `${message}; ${hint}`, { name }, { cause })
    : new TurboQuantError("unavailable", `${message}; free space, or make the directory writable`, { name }, { cause });
}
