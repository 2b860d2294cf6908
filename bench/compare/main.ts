/**
 * @file Speed of this checkout beside that of an older commit, in one run: `npx tsx bench/compare/main.ts COMMIT`.
 *
 *   options: --rounds 15 --parts attention,decode,layers,prefill,append,load,server --limit 1.03 --base DIR --model REF -t LIST --out FILE
 *
 * The commit is checked out and built in a temporary folder (`--base DIR`: a checkout that is there already, built). A round
 * measures one and then the other for a second or so each, and rounds alternate which of the two goes first. A figure is the median over the
 * rounds of new time / old time, of rates the inverse; more than 1 is slower. Exits with 1 when a median is above the limit.
 */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { readCommandLine, refuse } from "../../tools/command-line.ts";
import { partsOf } from "./rows.ts";

const { values, positionals } = readCommandLine({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "15" },
    parts: { type: "string" },
    limit: { type: "string", default: "1.03" },
    base: { type: "string" },
    model: { type: "string", default: "qwen3-3m" },
    threads: { type: "string", short: "t", default: availableParallelism() > 1 ? `1,${availableParallelism()}` : "1" },
    out: { type: "string" },
  },
});
const root = fileURLToPath(new URL("../..", import.meta.url));
const wholeNumber = (option: string, text: string): number =>
  /^[1-9]\d*$/.test(text) ? Number(text) : refuse(`${option}: expected a whole number from 1, got ${text}`);
const rounds = wholeNumber("--rounds", values.rounds);
const parts = partsOf(
  values.model,
  values.threads.split(",").map((text) => wholeNumber("-t", text)),
);
const chosen = values.parts?.split(",") ?? Object.keys(parts);
const unknown = chosen.find((name) => !(name in parts));
if (unknown !== undefined) refuse(`--parts: expected some of ${Object.keys(parts).join(", ")}, got ${unknown}`);
if (positionals.length !== 1 && !values.base) refuse("expected one commit to compare with, or --base DIR");
if (values.base && !existsSync(join(values.base, "dist")))
  refuse(`--base: ${values.base} is not built; run npm ci && npm run build there`);

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const git = (...args: string[]): string => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
const build = (folder: string): void =>
  void execFileSync("npm", ["run", "--silent", "build"], { cwd: folder, stdio: ["ignore", "ignore", "inherit"] });

function checkOut(commit: string): string {
  const folder = mkdtempSync(join(tmpdir(), "turboquant-compare-"));
  process.once("exit", () => {
    git("worktree", "remove", "--force", folder);
    rmSync(folder, { recursive: true, force: true });
  });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  git("worktree", "add", "--quiet", "--detach", folder, commit);
  say(`${commit}: installing and building`);
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder, stdio: "ignore" });
  build(folder);
  return folder;
}

/** The commit of a folder; where git knows none there, the folder's own name. Asked before anything is measured, so that nothing measured is lost. */
function commitOf(folder: string): string {
  try {
    const said = execFileSync("git", ["describe", "--always", "--dirty"], {
      cwd: folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return said.trim();
  } catch {
    return basename(folder);
  }
}

const base = values.base ? resolve(values.base) : checkOut(positionals[0]!);
const commits = { old: commitOf(base), new: commitOf(root) };
say("this checkout: building");
build(root);

/** By name of the figure, a ratio a round. */
const ratios = new Map<string, number[]>();
for (const name of chosen) {
  for (const measure of parts[name]!) {
    // Round 0 compiles, opens models and wakes threads.
    for (let round = 0; round <= rounds; round++) {
      const [first, second] = round % 2 ? [root, base] : [base, root];
      const readings = new Map([
        [first, await measure(first)],
        [second, await measure(second)],
      ]);
      if (round === 0) continue;
      for (const { name, value, isRate } of readings.get(root)!) {
        const old = readings.get(base)!.find((reading) => reading.name === name);
        if (!old) continue;
        const ratio = isRate ? old.value / value : value / old.value;
        ratios.set(name, [...(ratios.get(name) ?? []), ratio]);
        say(`round ${round} of ${rounds}: ${ratio.toFixed(3)} ${name}`);
      }
    }
  }
}

console.log(`time of ${commits.new} / time of ${commits.old}, median [least, most] of ${values.rounds} rounds`);
for (const [name, all] of ratios) {
  const sorted = all.toSorted((a, b) => a - b);
  const median = sorted[sorted.length >> 1]!;
  const isSlower = median > Number(values.limit);
  if (isSlower) process.exitCode = 1;
  const [ratio, least, most] = [median, sorted[0]!, sorted.at(-1)!].map((value) => value.toFixed(3));
  console.log(`${ratio} [${least}, ${most}]  ${name}${isSlower ? "  SLOWER" : ""}`);
  if (values.out) {
    appendFileSync(
      values.out,
      `${JSON.stringify({ ...commits, name, time_ratio: median, least: sorted[0], most: sorted.at(-1), rounds: all.length })}\n`,
    );
  }
}
