/** @file Prints the lines of each folder; fails when a file is too long or has no `@file` line. `npm run check:sizes` */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isTest, ROOT, sourceFiles } from "./source-files.ts";

const FOLDERS = ["src", "assembly", "tools", "test", "bench", "web"];
/** A file longer than this is listed, and has to be justified in review. */
const LONG = 400;
/** A file longer than this fails the check. */
const TOO_LONG = 600;

interface Total {
  files: number;
  lines: number;
  testLines: number;
  commentLines: number;
}

const totals = new Map<string, Total>();
const long: string[] = [];
const problems: string[] = [];

for (const path of FOLDERS.flatMap((folder) => sourceFiles(folder, [".ts", ".tsx", ".mjs"]))) {
  const text = readFileSync(join(ROOT, path), "utf8");
  const lines = text.split("\n").slice(0, text.endsWith("\n") ? -1 : undefined);
  const parts = path.split("/");
  const folder = parts[0] === "src" && parts.length > 2 ? `src/${parts[1]}` : parts[0]!;
  const total = totals.get(folder) ?? { files: 0, lines: 0, testLines: 0, commentLines: 0 };
  totals.set(folder, total);
  total.files++;
  if (isTest(path)) total.testLines += lines.length;
  else {
    total.lines += lines.length;
    total.commentLines += lines.filter((line) => /^\s*(\/\/|\/?\*)/.test(line)).length;
    if (!/^(#!.*\n)?\/\*\*\s*(\*\s*)?@file /.test(text)) problems.push(`${path}: does not begin with /** @file … */`);
  }
  if (lines.length > TOO_LONG) problems.push(`${path}: ${lines.length} lines; split it (at most ${TOO_LONG})`);
  else if (lines.length > LONG) long.push(`${path}: ${lines.length} lines`);
}

const row = (name: string, t: Total): string => {
  const comments = t.lines > 0 ? `${Math.round((100 * t.commentLines) / t.lines)} %` : "";
  return `${name.padEnd(16)} ${String(t.files).padStart(5)} ${String(t.lines).padStart(7)} ${comments.padStart(8)} ${String(t.testLines).padStart(7)}`;
};
console.log(`${"".padEnd(16)} files   lines comments   tests`);
const sum: Total = { files: 0, lines: 0, testLines: 0, commentLines: 0 };
for (const [name, total] of [...totals].sort(([a], [b]) => (a < b ? -1 : 1))) {
  console.log(row(name, total));
  for (const key of Object.keys(sum) as (keyof Total)[]) sum[key] += total[key];
}
console.log(row("all", sum));
if (long.length > 0) console.log(`\nlonger than ${LONG} lines:\n${long.join("\n")}`);
if (problems.length > 0) {
  console.error(`\n${problems.join("\n")}\ncheck-sizes: ${problems.length} problem${problems.length === 1 ? "" : "s"}`);
  process.exitCode = 1;
}
