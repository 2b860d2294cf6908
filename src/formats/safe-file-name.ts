/** @file Decides which file names inside a checkpoint may be opened. They may come from a hostile index file. */

/** True for a relative path that stays inside the checkpoint: no `..`, no absolute path, no backslash, no control character. */
export function isSafeFileName(file: string): boolean {
  if (file.length === 0 || file.length > 512 || file.startsWith("/") || file.includes("\\") || file.includes(":"))
    return false;
  for (const char of file) if (char < " ") return false;
  return file.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}
