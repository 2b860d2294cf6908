/** @file Writes files atomically: a file is either complete or not there. */
import { realpath, rename, rm, stat, writeFile } from "node:fs/promises";

/** Files written by this process: two writes of one path at the same time have temporary files of their own. */
let written = 0;

/**
 * Writes to a temporary file beside the target and renames it; until then an existing file stays as it was. A link stays one, and what is no
 * regular file (a device, a pipe) is written to and not replaced.
 */
export async function writeFileAtomically(path: string, bytes: Uint8Array | Iterable<Uint8Array>): Promise<void> {
  const info = await stat(path).catch(() => undefined);
  if (info && !info.isFile() && !info.isDirectory()) return writeFile(path, bytes);
  const target = info ? await realpath(path) : path;
  const temporary = `${target}.${process.pid}-${++written}.tmp`;
  try {
    await writeFile(temporary, bytes);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
