/** @file `turboquant eval` as a user types it: own text, ladder, and the tables of what is asked for besides. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import "../../node/install.ts";
import { runCommand } from "../../../test/support/cli-io.ts";
import { writeRandomCheckpoint } from "../../../test/support/fake-checkpoint.ts";
import { DEFAULT_PROMPT } from "../default-prompt.ts";

const folder = mkdtempSync(join(tmpdir(), "turboquant-eval-"));
const textFile = join(folder, "story.txt");
const evalOf = (model: string): string[] => ["eval", "-m", model, "-t", "1", "-c", "160", "--chunks", "1"];
const ARGV = evalOf("qwen3-1m");
/** Where the figures may be anything. */
const ANY_MODEL = evalOf(join(folder, "model"));
beforeAll(() => {
  writeRandomCheckpoint(join(folder, "model"));
  writeFileSync(textFile, DEFAULT_PROMPT);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

it("without --text the model writes one, the same each time, and that is said in the row and on stderr", async () => {
  const [one, two] = [
    await runCommand([...ANY_MODEL, "--json"]),
    await runCommand([...ANY_MODEL, "--json", "--quiet"]),
  ];
  expect(one.err).toMatch(/note: no --text; the model wrote 160 tokens itself \(seed 0\)/);
  expect(two.err).toBe("");
  const [first, second] = [JSON.parse(one.out), JSON.parse(two.out)];
  expect(first.textSource).toBe("written by the model, seed 0");
  expect({ ...second, seconds: 0 }).toEqual({ ...first, seconds: 0 });
  const other = JSON.parse((await runCommand([...ANY_MODEL, "--json", "--quiet", "--text-seed", "5"])).out);
  expect(other.textSource).toBe("written by the model, seed 5");
  expect(other.ppl).not.toBe(first.ppl);
});

it("--ladder names each lever, as a table and as JSON", async () => {
  const argv = [...ARGV, "--text", textFile, "--kv", "paper-3", "--ladder"];
  const { code, out } = await runCommand(argv);
  expect(code).toBe(0);
  const levers = [...out.matchAll(/^\| ([^-].*?) +\| \S+ +\|/gm)].map((match) => match[1]);
  expect(levers).toEqual([
    "lever",
    "exact",
    "as given",
    "K only",
    "V only",
    "scale rules on",
    "search on",
    "rotation off",
    "QJL on",
    "sinks on",
    "window on",
    "calibration on",
  ]);
  const { rows } = JSON.parse((await runCommand([...argv, "--json"])).out);
  expect(rows[1]).toMatchObject({ lever: "K only", readPath: "packed", textSource: "story.txt" });
  const kld = Object.fromEntries(rows.map((row: { lever: string; kldMean: number }) => [row.lever, row.kldMean]));
  expect(kld["K only"]).toBeLessThan(kld["as given"]);
  expect(kld["V only"]).toBeLessThan(kld["as given"]);
  expect(kld["QJL on"]).toBeGreaterThan(kld["as given"]);
});

it("greedy, grid and layers come as tables of their own, with intervals", async () => {
  const { out, code, err } = await runCommand([
    ...ARGV,
    "--quiet",
    "--text",
    textFile,
    "--kv",
    "k2v2,sinks=0,window=0",
    ...["--greedy", "3", "--greedy-tokens", "4", "--diagnose"],
    ...["--needle-lengths", "200", "--needle-depths", "0,100", "--needle-prompts", "2"],
  ]);
  expect([code, err]).toEqual([0, ""]);
  expect(out).toMatch(/greedy continuations: 3 prompts of 256 tokens, up to 4 tokens each\n\| kv .*same to the end/);
  expect(out).toMatch(
    /needle grid, k2v2,sinks=0,window=0: .*2 prompts a length.*\n\| tokens \| +at 0 % \| +at 100 % \|/,
  );
  expect(out).toMatch(/\| +\d+ \| +0 % \[0, 66\] \(0 %\) \|/);
  expect(out).toMatch(/layers, k2v2,sinks=0,window=0: law = .*\n\| layer \| rms\(q\)/);
  expect(out).toMatch(/^read path: packed; /m);
  expect(out).toMatch(/\d\d\.\d % \[\d\d\.\d, \d\d\.\d\]/);
});

it("says when the chunks are too short to read a code", async () => {
  const { out } = await runCommand([...ANY_MODEL, "-c", "64", "--text", textFile, "--kv", "k4v4"]);
  expect(out).toMatch(/read path: k4v4: chunks of 64 tokens lie within sinks and window, so no code was read/);
});

it("--time ends with what is known and says how much that is; tasks are a table of their own", async () => {
  const argv = [...ANY_MODEL, "--text", textFile, "--kv", "k2v2,sinks=0,window=0"];
  const cut = await runCommand([...argv, "--time", "0.001s", "--json"]);
  expect(cut.code).toBe(0);
  expect(JSON.parse(cut.out)).toMatchObject({ tokens: 128, tokensAsked: 160, kldMeanSe: expect.any(Number) });
  expect(cut.err).toMatch(/note: the time was over after 128 of 160 tokens; the figures are of these/);
  const { out, err } = await runCommand([...argv, "--tasks", "1", "--tasks-lengths", "2000", "--quiet"]);
  expect(err).toBe("");
  expect(out).toMatch(/tasks: exact answers, .*\n\| tokens \| kv +\| +multi-hop \| +copy-code \| +copy-table \|/);
  expect(out).toMatch(/\| +2000 \| f16 +\| +0 % \|/);
});

it.each([
  [["--base", "k2v2"], /Allowed choices are f16, f32/],
  [["--time", "soon"], /Expected a time such as 90s, 3m or 1h/],
  [["--tasks", "1", "--tasks-lengths", "100"], /tasks: length 100: expected 800 to 4096/],
])("%j is the user's mistake", async (argv, message) => {
  const { code, out, err } = await runCommand([...ANY_MODEL, "--text", textFile, ...argv]);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toMatch(message);
});

it.each([
  [["-c", "5000"], /--ctx: expected at most the model's context of 4096/],
  [["--tasks", "1", "--tasks-lengths", "100"], /tasks: length 100: expected 800 to 4096/],
  [["--tasks", "1", "--tasks-lengths", "5000"], /--tasks-lengths: expected at most the model's context/],
  [["--greedy", "1", "--greedy-tokens", "4000"], /greedy tokens: expected 1 to 3840/],
  [["--needle-lengths", "200", "--needle-depths", "0,101"], /expected depths from 0 to 100 %/],
  [["--kv", "k4v4,layers=9:f16"], /layers=9.*the model has layers 0 to 3/],
  [["--kv", "k4v4,calibration=/no/file"], /calibration: there is no file \/no\/file/],
])("%j is said before a text is written", async (argv, message) => {
  const { code, out, err } = await runCommand([...ANY_MODEL, ...argv]);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toMatch(message);
  expect(err).not.toContain("the model wrote");
});

it("reads beyond the model's length once it is stretched, and the rows say how", async () => {
  const model = join(folder, "short");
  writeRandomCheckpoint(model, { num_hidden_layers: 1, max_position_embeddings: 128 });
  const out = join(folder, "stretched.jsonl");
  const argv = ["eval", "-m", model, ..."-t 1 -c 160 --chunks 1 --quiet".split(" "), "--text", textFile, "--out", out];
  const refused = await runCommand(argv);
  expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("at most the model's context of 128")]);
  expect((await runCommand([...argv, "--rope-scaling", "yarn"])).code).toBe(0);
  const linear = await runCommand([...argv, "--rope-scaling", "linear", "--rope-scale", "2", "--json"]);
  expect([linear.code, JSON.parse(linear.out).rope]).toEqual([
    0,
    expect.objectContaining({ type: "linear", factor: 2 }),
  ]);
  const rows = readFileSync(out, "utf8").trimEnd().split("\n");
  expect(rows.map((row) => JSON.parse(row).rope)).toMatchObject([
    { type: "yarn", factor: 1.25, originalMaxPosition: 128 },
    { type: "linear", factor: 2 },
  ]);
  // A factor that stretches other commands to their --ctx is not for the context of an evaluation.
  const before = process.env["TURBOQUANT_ROPE_SCALING"];
  process.env["TURBOQUANT_ROPE_SCALING"] = "yarn";
  try {
    const plain = await runCommand([...argv, "-c", "64", "--json"]);
    expect([plain.code, plain.err, JSON.parse(plain.out).rope]).toEqual([0, "", undefined]);
  } finally {
    if (before === undefined) delete process.env["TURBOQUANT_ROPE_SCALING"];
    else process.env["TURBOQUANT_ROPE_SCALING"] = before;
  }
  expect(JSON.parse(rows[0]!).ppl).not.toBe(JSON.parse(rows[1]!).ppl);
});
