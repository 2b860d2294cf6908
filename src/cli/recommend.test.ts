/** @file `turboquant recommend` as a user types it, on the smaller embedded checkpoint. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";
import { randomModel } from "../../test/support/random-model.ts";
import { DEFAULT_PROMPT } from "./default-prompt.ts";

const any = randomModel();
let folder: string;
let textFile: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "turboquant-recommend-"));
  textFile = join(folder, "story.txt");
  writeFileSync(textFile, DEFAULT_PROMPT);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const MODEL = ["recommend", "-m", "qwen3-1m", "-t", "1"];
const ARGV = [...MODEL, "-c", "256"];
/** Five chunks of the story: enough that a good format is told from a bad one with certainty. */
const DECIDING = [...MODEL, "-c", "160", "--chunks", "5", "--gate", "usable", "--needle", "1"];
/** Nothing in 16 bit, so that few tokens are enough to tell formats apart. */
const KV = ["--kv", "k1v1,sinks=0,window=0", "--kv", "k2v1,sinks=0,window=0", "--kv", "k8v8,sinks=0,window=0"];

describe("recommend", () => {
  it("ends in one format with its evidence, its bytes and a command", async () => {
    const argv = [...DECIDING, "--text", textFile, ...KV];
    const { code, out, err } = await runCommand([...argv, "--context", "1000", "--quiet"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^\| kv +\| verdict +\| because of +\| tokens/);
    expect(out).toMatch(/\| k1v1,sinks=0,window=0 \| skipped \| no better than k2v1,sinks=0,window=0 \|/);
    expect(out).toMatch(/\| k8v8,sinks=0,window=0 \| pass +\| +\| +480 \| 1\.00\d\d \[[\d.]+, [\d.]+\]/);
    expect(out).toMatch(/usable: PPL ratio at most 1\.03, mean KLD at most 0\.03 nats/);
    expect(out).toMatch(
      /qwen3-1m is usable with k8v8,sinks=0,window=0 over 160 tokens: .* for 1,000 tokens against .* in f16, 1\.\d\dx smaller/,
    );
    expect(out, "no verdict about a length that was never read").toMatch(
      /nothing is known of 1,000 tokens. .*--ctx 640/,
    );
    expect(out).toMatch(/\n {2}npx turboquant run --model qwen3-1m --kv k8v8,sinks=0,window=0\n$/);
  });

  it("JSON says the same", async () => {
    const argv = [...DECIDING, "--text", textFile];
    const { out } = await runCommand([...argv, "--kv", "k8v8,sinks=0,window=0", "--json", "--quiet"]);
    const report = JSON.parse(out);
    expect(report).toMatchObject({
      kv: "k8v8,sinks=0,window=0",
      gate: "usable",
      ctx: 160,
      isBeyondEvidence: true,
      maxChunks: 5,
      text: "story.txt",
      command: "npx turboquant run --model qwen3-1m --kv k8v8,sinks=0,window=0",
    });
    expect(report.rungs).toHaveLength(1);
    expect(report.rungs[0].criteria["KLD mean"]).toMatchObject({ verdict: "pass", threshold: 0.03 });
    expect(report.rungs[0].recall).toMatchObject({ prompts: 1 });
  });

  it("says what it cannot decide with so few tokens", async () => {
    const argv = [...ARGV, "--text", textFile, "--chunks", "3", "--quiet", "--kv", "k8v8,sinks=0,window=0"];
    const { out } = await runCommand(argv);
    expect(out).toMatch(/\| not decided \| top-1 +\| +768 \|/);
    expect(out).toMatch(
      /Not decided: k8v8,sinks=0,window=0 with 768 tokens\. A longer --text and more --chunks may admit it\./,
    );
  });

  it("says when nothing passes, and stays with f16", async () => {
    const { code, out } = await runCommand([
      ...ARGV,
      "--text",
      textFile,
      "--chunks",
      "3",
      "--quiet",
      "--kv",
      "k1v1,window=32",
    ]);
    expect(code).toBe(0);
    expect(out).toMatch(/stay with the f16 cache/);
    expect(out).toMatch(/npx turboquant run --model qwen3-1m --kv f16\n$/);
  });

  it("writes a text without --text, and Ctrl-C ends it with 130 and no figures", async () => {
    const { code, out } = await runCommand([...ARGV, "--chunks", "3", ...KV], {
      onStderr: (text, io) => {
        if (text.includes("note: no --text; the model writes one itself, chunk by chunk (seed 0)")) io.interrupt();
      },
    });
    expect([code, out]).toEqual([130, ""]);
  });

  it("one bar goes from the first text that the model writes to the last question", async () => {
    const argv = [
      "recommend",
      ...any.args,
      "-c",
      "64",
      "--chunks",
      "3",
      "--needle",
      "1",
      "--no-cache",
      "--time",
      "1000h",
    ];
    // Once the model is there, every look at the clock is a second later, so that each step of the work is shown.
    let now = 0;
    const { code, err } = await runCommand([...argv, "--kv", "k8v8,sinks=0,window=0"], {
      isTTY: true,
      onStderr(text) {
        if (now > 0 || !text.includes("the model writes one itself")) return;
        now = performance.now();
        vi.spyOn(performance, "now").mockImplementation(() => (now += 1000));
      },
    }).finally(() => vi.restoreAllMocks());
    expect(code, err).toBe(0);
    const [, work] = err.split("the model writes one itself");
    const bars = work!
      .split("\r\x1b[2K")
      .slice(1)
      .filter((line) => line !== "");
    expect(bars.filter((line) => !line.startsWith("recommending "))).toEqual([]);
    for (const step of [/at most .* left {2}chunk 1, writing its text/, /left {2}chunk 1\/3, k8v8/])
      expect(work).toMatch(step);
  });

  it.each([
    [["--gate", "perfect"], /Allowed choices are intact, usable/],
    [["--kv", "k4v9"], /"k4v9" is not a preset/],
    [["--chunks", "2"], /whole number of at least 3/],
    [["--text", "no.txt"], /cannot be read/],
    [["--text", "biome.json", "-c", "2048"], /a text of at least 3 chunks of 2048 tokens/],
    [["-c", "112", "--kv", "k1v1"], /recommend: in 112 tokens none of what attention reads of k1v1 are codes/],
    [["-c", "1024", "--kv", "k1v1,window=2048"], /none of what attention reads/],
    [["-c", "5000"], /--ctx: expected at most the model's context of 4096/],
    [["--kv", "k4v4,window=0,calibration=/no/file"], /calibration: there is no file/],
  ])("%j is the user's mistake", async (argv, message) => {
    const { code, out, err } = await runCommand([...ARGV, ...argv]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(message);
    expect(err, "before a text is written").not.toContain("the model writes");
  });
});
