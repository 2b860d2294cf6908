/** @file Errors about bytes that say which file they came from. */
import { TurboQuantError } from "../errors.ts";

/** What `use` returns; a TurboQuantError out of it begins with `path`. */
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
