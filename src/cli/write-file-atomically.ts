/** @file Files that are either whole or not there. */
import { rename, rm, writeFile } from "node:fs/promises";

/** Writes beside the target and renames; an existing file stays as it was until then. */
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
