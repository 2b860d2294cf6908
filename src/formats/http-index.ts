/** @file Reads which files a folder on the web has, from the page or the JSON that a server lists it as. */
import { isSafeFileName } from "./safe-file-name.ts";

/** A list of 10,000 files takes 2 MB as nginx writes it. */
export const MAX_INDEX_BYTES = 4 * 1024 * 1024;

export interface FolderIndex {
  /** Paths below the folder; those of a page and of nginx are names of files directly in it. */
  readonly files: readonly string[];
  /** Names of folders directly in it. */
  readonly folders: readonly string[];
}

/**
 * Of the links of a page (Apache, nginx, Python's http.server, Caddy), where those of folders end in a slash, or of the entries of a
 * JSON array with a `name` (nginx) or a `path` (the hub's API). Empty for anything else.
 */
export function readIndex(text: string, contentType: string): FolderIndex {
  const entries = /\bjson\b/i.test(contentType)
    ? entriesOfJson(text)
    : /\bhtml\b/i.test(contentType)
      ? entriesOfLinks(text)
      : [];
  const paths = (isFolder: boolean): string[] => [
    ...new Set(
      entries.filter((entry) => entry.isFolder === isFolder && isSafeFileName(entry.path)).map(({ path }) => path),
    ),
  ];
  return { files: paths(false), folders: paths(true).filter((path) => !path.includes("/")) };
}

interface Entry {
  readonly path: string;
  readonly isFolder: boolean;
}

function entriesOfJson(text: string): Entry[] {
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch {
    return [];
  }
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((entry) => {
    const path = entry?.name ?? entry?.path;
    return typeof path === "string" ? [{ path, isFolder: entry.type === "directory" }] : [];
  });
}

function entriesOfLinks(text: string): Entry[] {
  const links = Array.from(text.matchAll(/\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')/gi), ([, double, single]) =>
    (double ?? single ?? "")
      .replaceAll("&amp;", "&")
      .replace(/[?#].*$/, "")
      .replace(/^\.\//, ""),
  );
  return links.flatMap((link) => {
    const isFolder = link.endsWith("/");
    const name = decoded(isFolder ? link.slice(0, -1) : link);
    // A link to a file of another folder is none of this one.
    return name.includes("/") ? [] : [{ path: name, isFolder }];
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
