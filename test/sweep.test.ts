/** @file `turboquant sweep` as a user runs it: real processes, killed in the middle, over a model of random weights. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PROMPT } from "../src/cli/default-prompt.ts";
import type { SweepRow } from "../src/lab/sweep-row.ts";
import { type BuiltCli, buildCli } from "./support/built-cli.ts";
import { writeRandomCheckpoint } from "./support/fake-checkpoint.ts";

const folder = mkdtempSync(join(tmpdir(), "sweep-"));
const MODEL = join(folder, "model");
const SPACE = `{
  "name": "small", "chunks": 1, // 8 caches that all differ
  "parameters": { "model": ${JSON.stringify(MODEL)}, "ctx": 128, "recipe": ["paper", "ours"], "bits": { "from": 2, "to": 5 }, "sinks": 0, "window": 0 },
}`;
const RUNS = 8;

const running = new Set<ChildProcess>();
let cli: BuiltCli;
beforeAll(async () => {
  cli = await buildCli();
  writeRandomCheckpoint(MODEL);
  writeFileSync(join(folder, "small.jsonc"), SPACE);
  writeFileSync(join(folder, "text.txt"), DEFAULT_PROMPT);
});
afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
});
afterAll(() => {
  cli?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const store = (name: string) => join(folder, name);
const rowsOf = (name: string): SweepRow[] => {
  const path = join(store(name), "results.jsonl");
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line)); // whole lines alone
};

function start(name: string, more: readonly string[] = [], workers = 2) {
  const options = ["--space", "small.jsonc", "--text", "text.txt", "--store", name, "--workers", `${workers}`];
  const argv = ["sweep", ...options, ...more];
  const child = spawn(process.execPath, [cli.main, ...argv], { cwd: folder, stdio: "pipe" });
  running.add(child);
  const output = { out: "", err: "" };
  child.stdout.on("data", (piece) => (output.out += piece));
  child.stderr.on("data", (piece) => (output.err += piece));
  const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) => {
    child.on("close", (code) => {
      running.delete(child);
      resolve({ code, ...output });
    });
  });
  return { child, ended };
}

const until = async (condition: () => boolean, what: string): Promise<void> => {
  for (let i = 0; i < 1200; i++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`waited in vain for ${what}`);
};

/** What a run comes to, without when it was. */
const figuresOf = (rows: readonly SweepRow[]) =>
  rows
    .map(({ date: _date, sweepSeconds: _at, ...row }) => ({ ...row, seconds: 0 }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));

// Nine processes, each of which loads a model: seconds on a quiet machine, minutes on a busy one.
describe("turboquant sweep", { timeout: 300_000 }, () => {
  it("killed by SIGKILL again and again it comes to the rows of a sweep that nobody stopped, none of them twice", async () => {
    // In one process after the other, which is no other sweep than in two at once.
    const whole = await start("whole", ["--json"], 1).ended;
    expect(whole.code, whole.err).toBe(0);
    const summary = JSON.parse(whole.out);
    expect(summary).toMatchObject({ done: RUNS, total: RUNS, added: RUNS, failed: 0 });
    expect(summary.best.kldMean).toBeGreaterThan(0);
    expect(rowsOf("whole")).toHaveLength(RUNS);

    for (const rows of [1, 3]) {
      const { child, ended } = start("killed");
      await until(() => rowsOf("killed").length >= rows || child.exitCode !== null, `${rows} rows`);
      child.kill("SIGKILL");
      await ended;
    }
    const left = rowsOf("killed").length;
    expect(left).toBeGreaterThanOrEqual(3);
    const resumed = await start("killed").ended;
    expect(resumed.code, resumed.err).toBe(0);
    expect(resumed.err).toMatch(/the lock of a sweep that has ended without releasing it was taken over/);
    expect(resumed.err).toMatch(new RegExp(`${left} of ${RUNS} runs are done already`));
    expect(resumed.out).toMatch(new RegExp(`${RUNS} of ${RUNS} runs in killed, ${RUNS - left} of them now`));
    expect(figuresOf(rowsOf("killed"))).toEqual(figuresOf(rowsOf("whole")));

    // And once more: nothing is left to do.
    const nothing = await start("killed").ended;
    expect(nothing.out).toMatch(new RegExp(`${RUNS} of ${RUNS} runs in killed, 0 of them now`));
  });

  it("two sweeps on one store: the second is told; Ctrl-C ends the first cleanly, workers included", async () => {
    const first = start("busy");
    await until(() => existsSync(join(store("busy"), "lock")), "the lock");
    const second = await start("busy").ended;
    expect(second.code).toBe(2);
    expect(second.err).toMatch(/^error: sweep: process \d+ works on busy; wait for it or choose another --store\n$/);
    await until(() => rowsOf("busy").length > 0, "a row");
    first.child.kill("SIGINT");
    const { code, err } = await first.ended;
    expect(code).toBe(130);
    expect(err).toMatch(/finished runs are kept in busy; run the same command again to go on\n\ninterrupted\n$/);
    expect(existsSync(join(store("busy"), "lock"))).toBe(false);
    expect(readFileSync(join(store("busy"), "results.tsv"), "utf8").split("\n").length).toBe(rowsOf("busy").length + 2);
  });
});
