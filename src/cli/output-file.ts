/** @file Places for results are tried before the work whose results they are for. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { TurboQuantError } from "../errors.ts";
import { reasonOf } from "./system-error.ts";

/**
 * Says before the work whether a file can be written. What only shows when it is written, such as a full disk, is an error then.
 *
 * option: for the message, e.g. `--out`
 * @throws TurboQuantError invalid_argument — it cannot, with the reason
 */
export async function checkOutputFile(option: string, path: string): Promise<void> {
  await trying(option, path, async () => {
    const info = await stat(path).catch(unlessMissing);
    if (info?.isDirectory()) throw Object.assign(new Error(path), { code: "EISDIR" });
    if (info) await access(path, constants.W_OK);
    // A regular file is replaced by one that is written beside it.
    if (!info || info.isFile()) await access(dirname(resolve(path)), constants.W_OK);
  });
}

/**
 * The same of a folder, which is made with those above it when it is not there.
 * @throws TurboQuantError invalid_argument
 */
export async function checkOutputFolder(option: string, path: string): Promise<void> {
  await trying(option, path, async () => {
    let folder = resolve(path);
    for (;;) {
      const info = await stat(folder).catch(unlessMissing);
      if (info && !info.isDirectory()) throw Object.assign(new Error(path), { code: "ENOTDIR" });
      if (info) break;
      folder = dirname(folder);
    }
    await access(folder, constants.W_OK);
  });
}

/**
 * Writes what `write` writes to the file of an option.
 * @throws TurboQuantError invalid_argument — it cannot be written, with the reason
 */
export const writeOutput = <T>(option: string, path: string, write: () => Promise<T>): Promise<T> =>
  trying(option, path, write);

/**
 * Prints a result whether or not its files can be written: whoever waited for it has it then.
 *
 * print: told what `write` returned, null where that failed
 * @throws what `write` failed of, behind the result
 */
export async function printedAnyway<T>(write: () => Promise<T>, print: (written: T | null) => void): Promise<void> {
  let written: T | null = null;
  try {
    written = await write();
  } finally {
    print(written);
  }
}

async function trying<T>(option: string, path: string, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (cause) {
    if (cause instanceof TurboQuantError) throw cause;
    throw new TurboQuantError(
      "invalid_argument",
      `${option} ${path}: cannot be written: ${reasonOf(cause)}; choose another place`,
      { path },
      { cause },
    );
  }
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
