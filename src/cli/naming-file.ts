/** @file Adds the file's name to errors about its bytes. */
import { TurboQuantError } from "../errors.ts";

/** Returns what `use` returns; puts `path` before the message of a TurboQuantError that it throws. */
export function namingFile<T>(path: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (!(error instanceof TurboQuantError)) throw error;
    throw new TurboQuantError(
      error.code,
      `${path}: ${error.message}`,
      { ...error.detail, file: path },
      { cause: error },
    );
  }
}
