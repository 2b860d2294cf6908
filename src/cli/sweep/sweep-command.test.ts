/** @file `sweep` and `report` as commands, evaluating in this process; processes and kills are test/sweep.test.ts. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand } from "../../../test/support/cli-io.ts";
import "../../node/install.ts";
import { DEFAULT_PROMPT } from "../default-prompt.ts";

let folder: string;
const file = (name: string) => join(folder, name);
const SPACE = {
  name: "tiny",
  chunks: 2,
  parameters: { model: "qwen3-1m", ctx: 128, recipe: ["paper", "ours"], bits: [2, 4], sinks: 0, window: 0 },
};
const write = (name: string, value: unknown): string => {
  writeFileSync(file(name), typeof value === "string" ? value : JSON.stringify(value));
  return file(name);
};
const sweep = (...more: string[]) =>
  runCommand([
    "sweep",
    "--space",
    file("tiny.jsonc"),
    "--text",
    file("text.txt"),
    "--workers",
    "0",
    "--store",
    file("store"),
    ...more,
  ]);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sweep-command-"));
  write("tiny.jsonc", SPACE);
  write("text.txt", DEFAULT_PROMPT);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("sweep", () => {
  it("prints the front, the best and where the rows are; then takes the store up by itself", async () => {
    const { code, out, err } = await sweep("--runs", "3");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^\| model .*\| rate \|/);
    expect(out).toMatch(/3 of 3 runs in .*store, 3 of them now in .*\nturboquant report .*store --out report\.html/);
    const again = await runCommand(["sweep", "--store", file("store"), "--runs", "99", "--workers", "0", "--json"]);
    const { best, front, ...counts } = JSON.parse(again.out);
    expect(counts).toMatchObject({ done: 4, total: 4, added: 1, failed: 0, skipped: 0 });
    expect(again.err).toMatch(/note: 3 of 4 runs are done already/);
    expect(front.map((row: { kv: string }) => row.kv)).toEqual(["k2v2,sinks=0,window=0", "k4v4,sinks=0,window=0"]);
    expect(best.kv).toBe("k4v4,sinks=0,window=0");
    expect(best).toMatchObject({
      status: "done",
      ctx: 128,
      chunks: 2,
      tokens: 256,
      parameters: { recipe: "ours", bits: 4 },
    });
  });

  it("answers questions in SQL and writes Parquet", async () => {
    const sql = "SELECT p_recipe, count(*) AS n, max(bitsPerValue) AS bits FROM results GROUP BY 1 ORDER BY 1";
    const { out } = await runCommand(["sweep", "--store", file("store"), "--sql", sql, "--json"]);
    expect(JSON.parse(out).rows).toEqual([
      { p_recipe: "ours", n: 2, bits: 4.25 },
      { p_recipe: "paper", n: 2, bits: 4.25 },
    ]);
    expect((await runCommand(["sweep", "--store", file("store"), "--sql", sql])).out).toMatch(
      /^\| p_recipe \| +n \| bits \|\n/,
    );
    const bad = await runCommand(["sweep", "--store", file("store"), "--sql", "SELECT nothing FROM results"]);
    expect([bad.code, bad.out]).toEqual([2, ""]);
    expect(bad.err).toMatch(/^error: --sql: .*nothing/);
    expect((await sweep("--parquet", "--quiet")).code).toBe(0);
    const bytes = readFileSync(join(file("store"), "results.parquet"));
    expect(bytes.subarray(0, 4).toString() + bytes.subarray(-4).toString()).toBe("PAR1PAR1");
  });

  it("lists its runs without doing one", async () => {
    const { out } = await sweep("--dry-run", "--store", file("none"));
    expect(out).toMatch(/^all: qwen3-1m, 2 × 128 tokens, paper-2\n[\s\S]*\n4 runs\n$/);
    expect(existsSync(file("none"))).toBe(false);
    const article = await runCommand(["sweep", "--dry-run", "--json"]);
    expect(JSON.parse(article.out)).toMatchObject({ total: 113, skipped: 0 });
    expect(JSON.parse(article.out).runs).toHaveLength(113);
    const family = JSON.parse((await runCommand(["sweep", "--space", "family", "--dry-run", "--json"])).out);
    expect(new Set(family.runs.map((run: { model: string }) => run.model)).size).toBe(4);
  });

  it.each([
    ["another space", ["--chunks", "1"], /belongs to another sweep: another chunks/],
    [
      "a long run on a short text",
      ["--chunks", "40", "--store", "x"],
      /expected 40 chunks of 128 tokens for qwen3-1m, got \d+ from the text/,
    ],
    ["a context beyond the model's", ["-c", "8192", "--store", "x"], /ctx 8192: expected at most \d+ for qwen3-1m/],
    ["no such text", ["--text", "nowhere.txt"], /--text nowhere\.txt: cannot be read/],
    ["no such model", ["-m", "no/such/model", "--store", "x"], /model/],
    ["no such space", ["--space", "articel"], /did you mean article\?/],
    ["a queue without a server", ["--queue-name", "x", "--store", "x"], /--queue-name: expected --queue with it/],
    ["a queue, and nobody else", ["--queue", "redis://h", "--store", "x"], /--workers 0 evaluates in this process/],
    [
      "threads of others",
      ["--queue", "redis://h", "--workers", "2", "-t", "2", "--store", "x"],
      /--threads: with --queue each worker has its own/,
    ],
    [
      "no server",
      ["--queue", "redis://127.0.0.1:1", "--workers", "2", "--store", "x"],
      /--queue redis:\/\/127\.0\.0\.1:1: no Redis or Valkey server answers there/,
    ],
    ["no such strategy", ["--strategy", "luck"], /Allowed choices are grid, random, tpe, halving/],
  ])("%s: one message, exit code 2, nothing written", async (_what, more, message) => {
    const { code, out, err } = await sweep(...more);
    expect(err).toMatch(message);
    expect([code, out]).toEqual([2, ""]);
    expect(existsSync("x")).toBe(false);
  });

  it("an impossible combination is refused before anything runs, or skipped and said", async () => {
    const path = write("odd.jsonc", {
      ...SPACE,
      parameters: { model: "qwen3-1m", ctx: 128, recipe: "paper", bits: [1, 2], qjl: [false, true] },
    });
    const argv = ["sweep", "--space", path, "--text", file("text.txt"), "--store", file("odd"), "--dry-run"];
    const refused = await runCommand(argv);
    expect(refused.code).toBe(2);
    expect(refused.err).toMatch(/bits=1, qjl=true is impossible: --kv: paper-1\+qjl has no bits left/);
    const skipped = await runCommand([...argv, "--skip-impossible"]);
    expect(skipped.err).toMatch(/^note: 1 impossible combinations are skipped/);
    expect(skipped.out).toMatch(/3 runs\n$/);
  });
});

describe("report", () => {
  it("draws a store and rows of eval together, and writes pictures", async () => {
    const rows = file("rows.jsonl");
    const argv = ["eval", "-m", "qwen3-1m", "--text", file("text.txt"), "-c", "128", "--chunks", "2", "-t", "1"];
    await runCommand([...argv, "--kv", "k3v3", "--out", rows, "--quiet"]);
    const { code, out } = await runCommand([
      "report",
      file("store"),
      rows,
      "--out",
      file("r.html"),
      "--images",
      file("pics"),
      "--png",
      "--json",
    ]);
    expect(code).toBe(0);
    const summary = JSON.parse(out);
    expect(summary).toMatchObject({ rows: 5, out: file("r.html") });
    expect(summary.recommendations.map((one: { gate: string }) => one.gate)).toEqual(["intact", "usable"]);
    const ids: string[] = summary.figures.map((one: { id: string }) => one.id);
    expect(ids).toContain("pareto-qwen3-1m");
    expect(readdirSync(file("pics")).sort()).toEqual(
      ids.flatMap((id) => [`${id}-dark.png`, `${id}-dark.svg`, `${id}.png`, `${id}.svg`]).sort(),
    );
    expect(readFileSync(file("r.html"), "utf8")).toMatch(/^<!doctype html>[\s\S]*k3v3[\s\S]*<\/html>\n$/);
    expect(
      readFileSync(join(file("pics"), `${ids[0]}.png`))
        .subarray(1, 4)
        .toString(),
    ).toBe("PNG");
    expect(readFileSync(join(file("pics"), `${ids[0]}.svg`), "utf8")).not.toContain("var(");
  });

  it.each([
    ["nothing there", ["nowhere"], /nowhere does not exist/],
    ["no rows", [], /missing required argument/],
    ["another kind of file", ["package.json"], /package\.json, line 1: expected a JSON line/],
    ["--png alone", ["store", "--png"], /--png: expected --images with it/],
  ])("%s: one message, exit code 2", async (_what, more, message) => {
    const { code, out, err } = await runCommand(["report", ...more, "--out", file("never.html")]);
    expect(err).toMatch(message);
    expect([code, out]).toEqual([2, ""]);
    expect(existsSync(file("never.html"))).toBe(false);
  });
});
