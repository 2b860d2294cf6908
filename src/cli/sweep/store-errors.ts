/** @file Turns file system errors of a store into messages for the user. */
import { TurboQuantError } from "../../errors.ts";

const NO_SPACE: readonly string[] = ["ENOSPC", "EDQUOT", "EFBIG"];
const NO_ACCESS: readonly string[] = ["EACCES", "EPERM", "EROFS", "ENOTDIR", "EEXIST"];

/** The error to throw in place of `cause`; `cause` itself when the user cannot do anything about it. */
export function storeError(cause: unknown, path: string): unknown {
  const code = (cause as NodeJS.ErrnoException | null)?.code ?? "";
  if (cause instanceof TurboQuantError) return cause;
  if (NO_SPACE.includes(code)) {
    return new TurboQuantError(
      "out_of_memory",
      `sweep: no space left for ${path} (${code}); every finished run is safe: free some space and run the same command again`,
      { path, code },
      { cause },
    );
  }
  if (NO_ACCESS.includes(code)) {
    return new TurboQuantError(
      "invalid_argument",
      `sweep: ${path} cannot be written (${code}); choose another --store`,
      { path, code },
      { cause },
    );
  }
  return cause;
}
