/**
 * @file Fails on a file of this repository that a comment or a document names and that is not there. `npm run check:paths`
 *
 * A path is sought from the root, beside the file that names it, and from the folders that comments leave out; a name without
 * a folder has to be some file's. NAME in capitals stands for any name.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ROOT, sourceFiles } from "./source-files.ts";

const FOLDERS = ["src", "assembly", "test", "tools", "bench", "web", "docs"];
const EXTENSIONS = [".ts", ".tsx", ".wgsl", ".md", ".mjs"];
/** Folders from which paths are written, beside that of the file itself. */
const BASES = ["", "src", "assembly", "src/backends", "src/backends/webgpu", "web"];
/** What a build writes or installs. */
const MADE = /(?:^|\/)(?:generated|node_modules|dist|\.gpu)\//;
const NAMED = /(?<![\w./@:*-])((?:\.{1,2}\/)*(?:[\w.-]+\/)*[\w.-]*\w\.(?:ts|tsx|wgsl|md|mjs))(?![\w/-])/g;

const files = [
  ...FOLDERS.flatMap((folder) => sourceFiles(folder, EXTENSIONS)),
  ...readdirSync(ROOT).filter((name) => EXTENSIONS.some((extension) => name.endsWith(extension))),
];
const names = new Set(files.map((path) => basename(path)));

/** The text of a line that is no code; of a document the whole line. */
function prose(path: string, line: string): string {
  if (path.endsWith(".md")) return line;
  const comment = /^\s*(?:\/\*|\*|\/\/)(.*)|\s\/\/ (.*)$/.exec(line);
  return comment?.[1] ?? comment?.[2] ?? "";
}

function exists(named: string, from: string): boolean {
  if (MADE.test(named) || /\bNAME\b/.test(named)) return true;
  if (!named.includes("/")) return names.has(named);
  return [dirname(from), ...BASES].some((base) => existsSync(join(ROOT, base, named)));
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
