/** @file Programs in bench/ and tools/ explain themselves, and refuse wrong options in one line. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { optionError, optionLine, usageOf } from "../tools/command-line.ts";
import { ROOT, sourceFiles } from "../tools/source-files.ts";

/** What reads its arguments elsewhere, and why. */
const OTHERS: Readonly<Record<string, string>> = {
  "tools/command-line.ts": "the place itself",
  "tools/start.mjs": "hands them to the command line tool",
  "bench/peers/speed-engine.ts": "is started by speed.ts alone",
};

const sources = ["bench", "tools"]
  .flatMap((folder) => sourceFiles(folder, [".ts", ".mjs"]))
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));

it("all read their arguments in one place, and their heads are a manual", () => {
  const elsewhere = sources.filter(({ text }) => /\bparseArgs\b|process\.argv\b(?!\[1\])/.test(text));
  expect(elsewhere.map(({ path }) => path).filter((path) => !(path in OTHERS))).toEqual([]);
  for (const { path, text } of sources.filter(({ text }) => /\bread(CommandLine|Arguments)\(/.test(text))) {
    // Options of two programs are read in a file of their own.
    if (path in OTHERS || path.endsWith("speed-run.ts")) continue;
    expect(usageOf(text), path).toMatch(/npx tsx|npm run/);
  }
});

it("the usage is the head of the file without its stars", () => {
  expect(usageOf("/** @file One line: `npx tsx a.ts`. */\ncode")).toBe("One line: `npx tsx a.ts`.");
  expect(usageOf("#!/usr/bin/env node\n/**\n * @file First.\n *\n *   --x 5\n */\n/** @file no */")).toBe(
    "First.\n\n  --x 5",
  );
  expect(usageOf("// a bundle\n/** @file not the head */")).toBeNull();
});

it("an option is told with what is taken without it", () => {
  expect(optionLine("threads", { type: "string", short: "t", default: "2" })).toBe("-t, --threads 2");
  expect(optionLine("out", { type: "string" })).toBe("--out VALUE");
  expect(optionLine("json", { type: "boolean", default: false })).toBe("--json");
});

it("an error of an option is one line", () => {
  const options = { rounds: { type: "string" }, write: { type: "boolean" } } as const;
  const told = (message: string): string => optionError(new Error(message), options);
  expect(told("Unknown option '--round'. To specify a positional …")).toBe(
    "unknown option --round; did you mean --rounds?",
  );
  expect(told("Unknown option '--elsewhere'")).toBe("unknown option --elsewhere; --help explains the options");
  expect(told("Option '--rounds' argument is ambiguous.\nDid you forget …")).toBe(
    "Option '--rounds' argument is ambiguous; --help explains the options",
  );
  expect(told("Unexpected argument 'pos'. This command does not take positional arguments")).toBe(
    "Unexpected argument 'pos'; --help explains the options",
  );
});

it("exits with 0 after help and with 2 for a wrong option or number", () => {
  const run = (option: string) =>
    spawnSync(process.execPath, ["--import", "tsx", "bench/compare/main.ts", option], { cwd: ROOT, encoding: "utf8" });
  expect(run("--help")).toMatchObject({ status: 0, stderr: "", stdout: expect.stringContaining("\n  --rounds 15\n") });
  expect(run("--round=3")).toMatchObject({
    status: 2,
    stdout: "",
    stderr: "bench/compare/main.ts: unknown option --round; did you mean --rounds?\n",
  });
  expect(run("--rounds=0")).toMatchObject({
    status: 2,
    stderr: "bench/compare/main.ts: --rounds: expected a whole number from 1, got 0\n",
  });
});
