/** @file What the operating system says of a file, in words: faults of paths, disks and permissions are the user's to mend, in one line. */

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or folder",
  EACCES: "permission denied",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "no space is left on the device",
  EDQUOT: "the quota is used up",
  EFBIG: "the file would be too large",
  EISDIR: "it is a folder",
  ENOTDIR: "a part of the path is no folder",
  EEXIST: "it is there already",
  EBUSY: "it is in use",
  ETXTBSY: "it is being executed",
  EXDEV: "the places are on different devices",
  ELOOP: "its links lead in a circle",
  ENAMETOOLONG: "the name is too long",
  EMFILE: "too many files are open",
  ENFILE: "too many files are open",
  EIO: "the device fails",
};

/** `no space is left on the device (ENOSPC)`; the code alone where there are no words for it. */
export function reasonOf(error: unknown): string {
  const code = codeOf(error);
  if (code === undefined) return error instanceof Error ? error.message : String(error);
  const words = REASONS[code];
  return words === undefined ? code : `${words} (${code})`;
}

/** One line about an error of the system that names what failed; null for any other error. */
export function systemErrorLine(error: unknown): string | null {
  const code = codeOf(error);
  if (code === undefined || !Object.hasOwn(REASONS, code)) return null;
  const { path, syscall } = error as NodeJS.ErrnoException;
  // Files are written under another name beside their place first.
  const what = path?.replace(/\.[\d-]+\.tmp$/, "") ?? syscall;
  return what === undefined ? null : `${what}: ${reasonOf(error)}; check the path, or choose another place`;
}

const codeOf = (error: unknown): string | undefined => {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === "string" ? code : undefined;
};
