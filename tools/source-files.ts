/** @file Lists the source files for the checks. */
import { readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

const SKIPPED = new Set(["node_modules", "generated", "dist", "fixtures"]);

/** Files below `folder` whose names end in one of `extensions`, relative to the repository, with `/` as separator, sorted. */
export function sourceFiles(folder: string, extensions: readonly string[]): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !SKIPPED.has(entry.name)) found.push(...sourceFiles(path, extensions));
    else if (entry.isFile() && extensions.some((extension) => entry.name.endsWith(extension))) {
      found.push(relative(".", path).split(sep).join("/"));
    }
  }
  return found.sort();
}

export const isTest = (path: string): boolean => /\.test\.ts$/.test(path);
