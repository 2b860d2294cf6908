/**
 * @file Fails when a comment or a document names a file of this repository that does not exist. `npm run check:paths`
 *
 * A path may be relative to the root, to the file that names it, or to one of the folders that comments leave out. A name
 * without a folder must be the name of some file. NAME in capitals stands for any name.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ROOT, sourceFiles } from "./source-files.ts";

const FOLDERS = ["src", "assembly", "test", "tools", "bench", "web", "docs"];
const EXTENSIONS = [".ts", ".tsx", ".wgsl", ".md", ".mjs"];
/** Folders that paths in comments may be relative to, besides the folder of the file itself. */
const PATH_BASES = ["", "src", "assembly", "src/backends", "src/backends/webgpu", "web"];
/** Files that are made by a build or an installation. */
const GENERATED = /(?:^|\/)(?:generated|node_modules|dist|\.gpu)\//;
const NAMED = /(?<![\w./@:*-])((?:\.{1,2}\/)*(?:[\w.-]+\/)*[\w.-]*\w\.(?:ts|tsx|wgsl|md|mjs))(?![\w/-])/g;

const files = [
  ...FOLDERS.flatMap((folder) => sourceFiles(folder, EXTENSIONS)),
  ...readdirSync(ROOT).filter((name) => EXTENSIONS.some((extension) => name.endsWith(extension))),
];
const names = new Set(files.map((path) => basename(path)));

/** The part of a line that is comment; in a document, the whole line. */
function prose(path: string, line: string): string {
  if (path.endsWith(".md")) return line;
  const comment = /^\s*(?:\/\*|\*|\/\/)(.*)|\s\/\/ (.*)$/.exec(line);
  return comment?.[1] ?? comment?.[2] ?? "";
}

function exists(named: string, from: string): boolean {
  if (GENERATED.test(named) || /\bNAME\b/.test(named)) return true;
  if (!named.includes("/")) return names.has(named);
  return [dirname(from), ...PATH_BASES].some((base) => existsSync(join(ROOT, base, named)));
}

let missing = 0;
for (const path of files) {
  const lines = readFileSync(join(ROOT, path), "utf8").split("\n");
  lines.forEach((line, index) => {
    for (const [, named] of prose(path, line).matchAll(NAMED)) {
      if (exists(named!, path)) continue;
      console.error(`${path}:${index + 1}: names ${named}, which is not there; say where it is now`);
      missing++;
    }
  });
}
if (missing > 0) process.exitCode = 1;
else console.log(`check-paths: ${files.length} files`);
