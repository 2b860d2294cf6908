/** @file Writes files atomically: a file is either complete or not there. */
import { rename, rm, writeFile } from "node:fs/promises";

/** Writes to a temporary file beside the target and renames it; until then an existing file stays as it was. */
export async function writeFileAtomically(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, bytes);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
