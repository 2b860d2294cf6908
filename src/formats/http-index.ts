/** @file Reads which files a folder on the web has, from the page or the JSON that a server lists it as. */
import { isSafeFileName } from "./safe-file-name.ts";

/** A list of 10,000 files takes 2 MB as nginx writes it. */
export const MAX_INDEX_BYTES = 4 * 1024 * 1024;

/**
 * Names of the files directly in the folder: of the links of a page (Apache, nginx, Python's http.server, Caddy), or of the entries
 * of a JSON array with a `name` (nginx) or a `path` (the hub's API). Empty for anything else.
 */
export function filesOfIndex(text: string, contentType: string): string[] {
  const names = /\bjson\b/i.test(contentType)
    ? namesOfJson(text)
    : /\bhtml\b/i.test(contentType)
      ? namesOfLinks(text)
      : [];
  return [...new Set(names)].filter((name) => isSafeFileName(name) && !name.includes("/"));
}

function namesOfJson(text: string): string[] {
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch {
    return [];
  }
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((entry) => {
    const name = entry?.name ?? entry?.path;
    return typeof name === "string" && entry.type !== "directory" ? [name] : [];
  });
}

function namesOfLinks(text: string): string[] {
  return Array.from(text.matchAll(/\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')/gi), ([, double, single]) => {
    const path = (double ?? single ?? "")
      .replaceAll("&amp;", "&")
      .replace(/[?#].*$/, "")
      .replace(/^\.\//, "");
    try {
      return decodeURIComponent(path);
    } catch {
      return "";
    }
  });
}
