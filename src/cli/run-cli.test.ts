/**
 * @file Commands as a user types them, in this process: each once on the smaller embedded checkpoint, and where any model
 * will do on one of random weights.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";
import { writeRandomCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { DEFAULT_PROMPT } from "./default-prompt.ts";

const MODEL = ["-m", "qwen3-1m", "-t", "1"];
const QUESTION = "What is the capital of France?";

const folder = mkdtempSync(join(tmpdir(), "turboquant-cli-"));
const textFile = join(folder, "text.txt");
const ANY_MODEL = ["-m", join(folder, "model"), "-t", "1"];
beforeAll(() => {
  writeRandomCheckpoint(join(folder, "model"));
  writeFileSync(textFile, DEFAULT_PROMPT);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe("a user's mistake is one message and exit code 2", () => {
  const cases: [what: string, argv: string[], message: RegExp][] = [
    ["unknown command", ["evla"], /unknown command 'evla'\n\(Did you mean eval\?\)/],
    ["unknown option", ["run", "--tempratur", "1"], /unknown option '--tempratur'\n\(Did you mean --temperature\?\)/],
    ["option without a value", ["run", "--kv"], /'--kv <spec>' argument missing/],
    ["not a number", ["run", "-n", "abc", "hi"], /Expected a whole number/],
    ["backend", ["run", "--backend", "cuda", "hi"], /Allowed choices are auto, wasm, webgpu, reference/],
    ["preset", ["run", "--kv", "k4v9", "hi"], /"k4v9" is not a preset.*did you mean/],
    ["modifier", ["run", "--kv", "k4v4,widow=0", "hi"], /unknown modifier "widow".*did you mean window\?/],
    [
      "layers beyond the model",
      ["run", ...ANY_MODEL, "--kv", "k4v4,layers=0-9:k8v8", "hi"],
      /the model has layers 0 to 3/,
    ],
    ["model", ["run", "-m", "no/such/model/here", "hi"], /model: expected a directory/],
    ["range", ["run", ...ANY_MODEL, "--top-p", "3", "hi"], /topP: expected a number from 0 to 1/],
    ["context", ["run", ...ANY_MODEL, "--ctx", "5", QUESTION], /prompt: \d+ tokens do not fit the context of 5.*--ctx/],
    [
      "budget",
      ["run", ...ANY_MODEL, "--kv-budget", "1kB", "hi"],
      /KV cache: \d+ more bytes do not fit the budget of 1000 bytes.*--kv-budget/,
    ],
    ["two prompts", ["run", "-f", "x.txt", "hi"], /a prompt and --file/],
    ["two prompts, one by name", ["run", "-p", "hi", "you"], /a prompt and --prompt/],
    ["an empty prompt", ["run", ""], /the prompt is empty/],
    ["a blank prompt", ["run", "-p", "   "], /the prompt is empty/],
    [
      "no file",
      ["run", "-f", "no-such-file.txt"],
      /--file no-such-file.txt: cannot be read: there is no such file .*\(ENOENT\)/,
    ],
    [
      "another program's option",
      ["run", "--context", "9", "hi"],
      /unknown option '--context'\n\(Did you mean --ctx\?\)/,
    ],
    [
      "a misspelt alias",
      ["run", "--max-tokns", "5"],
      /unknown option '--max-tokns'\n\(Did you mean --max-new-tokens\?\)/,
    ],
    ["a misspelt name of others", ["serve", "--served-model-nam", "x"], /\(Did you mean --alias\?\)/],
    ["a misspelt option of others", ["run", "--gpu-layer", "9"], /\(the GPU computes all layers or none/],
    [
      "an option that nothing needs",
      ["run", "-ngl", "99"],
      /unknown option '--n-gpu-layers'\n\(the GPU computes all layers or none/,
    ],
    ["help on what is no command", ["help", "evla"], /unknown command 'evla'\n\(Did you mean eval\?\)/],
    ["a number of tokens", ["run", "-n", "-2", "hi"], /at least 1, or -1 for as many as the context holds/],
    ["nothing to time", ["bench", "-p", "0", "-n", "0"], /-p 0 and -n 0 leave nothing to time/],
    [
      "rows into a folder that there is not",
      ["bench", "--out", "/no/x"],
      /--out \/no\/x: cannot be written: there is no such/,
    ],
    ["rows into a folder", ["bench", "--out", "src"], /--out src: cannot be written: it is a folder \(EISDIR\)/],
    ["an evaluation into a folder that there is not", ["eval", "--out", "/no/x"], /--out \/no\/x: cannot be written/],
    ["an allocation into a folder", ["allocate", "--out", "src"], /--out src: cannot be written: it is a folder/],
    [
      "chunks beyond the model",
      ["eval", "-m", "qwen3-1m", "-t", "1", "-c", "100000"],
      /--ctx: expected at most the model's context of 4096 tokens, got 100000/,
    ],
    [
      "a calibration beyond the model",
      ["calibrate", ...ANY_MODEL, "-c", "100000"],
      /--ctx: expected at most \d+ \(the model's max_position_embeddings\), got 100000/,
    ],
    [
      "depths without lengths",
      ["eval", "--needle-depths", "0,50"],
      /--needle-depths: does nothing without --needle-lengths/,
    ],
    ["tokens of no text", ["eval", "--greedy-tokens", "9"], /--greedy-tokens: does nothing without --greedy/],
    ["lengths of no task", ["eval", "--tasks-lengths", "900"], /--tasks-lengths: does nothing without --tasks/],
    [
      "needles beyond the model",
      ["eval", "-m", "qwen3-1m", "-t", "1", "--needle-lengths", "9999"],
      /--needle-lengths: expected at most .* 4096 tokens, got 9999/,
    ],
    [
      "bits beyond the widths",
      ["allocate", "-m", "qwen3-1m", "-t", "1", "--bits", "99"],
      /expected a budget of 2 to 8 bits a value.*got 99/,
    ],
    ["a page into a folder", ["report", "x.jsonl", "--out", "."], /--out \.: cannot be written: it is a folder/],
    ["pictures below a file", ["report", "x.jsonl", "--images", "LICENSE/x"], /--images LICENSE\/x: cannot be written/],
    ["a calibration nowhere", ["calibrate", "--out", "/no/x"], /--out \/no\/x: cannot be written/],
    [
      "a context beyond the model",
      ["run", "-c", "200000", "hi"],
      /expected 1 to 4096 .*got 200000; .*--rope-scaling yarn/,
    ],
    ["no scale", ["run", "--rope-scaling", "yarn", "hi"], /expected a scale, or a contextLength beyond/],
    [
      "memory without a unit",
      ["run", "--kv-budget", "4", "hi"],
      /a size with its unit; 4 would be bytes, was 4GB meant\?/,
    ],
    [
      "system without template",
      ["run", ...ANY_MODEL, "--raw", "--system", "Be brief.", "hi"],
      /--system needs the chat template/,
    ],
    [
      "eval with a wrong path",
      ["eval", "--text", "no.txt"],
      /--text no.txt: cannot be read: there is no such file or folder \(ENOENT\); expected a file of plain text \(UTF-8\), so check the path, or leave --text out/,
    ],
    [
      "eval with a folder",
      ["eval", "--text", "src"],
      /--text src: cannot be read: it is a folder \(EISDIR\); expected/,
    ],
    ["a ladder of two", ["eval", "--ladder", "--kv", "k4v4,k3v3"], /--ladder: expected one --kv, got 2/],
    [
      "needle grid",
      ["eval", ...MODEL, "--text", "biome.json", "-c", "64", "--needle-lengths", "64"],
      /length 64: expected 128/,
    ],
    [
      "greedy",
      ["eval", ...MODEL, "--text", "LICENSE", "--greedy", "1", "--greedy-tokens", "5000"],
      /greedy tokens: expected 1 to/,
    ],
    [
      "eval with a short text",
      ["eval", ...MODEL, "--text", "biome.json", "-c", "2048"],
      /fewer than one chunk of 2048/,
    ],
    ["shape", ["bench", "--shape", "qwen9"], /shape: expected one of/],
    ["list", ["bench", "-d", "0,x"], /Expected a whole number/],
    ["snapshot", ["inspect", "missing.tqkv"], /model: expected a directory/],
  ];
  it.each(cases)("%s", async (_what, argv, message) => {
    const { code, out, err } = await runCommand(argv);
    expect(err).toMatch(message);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).not.toMatch(/^\s+at /m);
    expect(err.trim().split("\n").length, "one message").toBeLessThanOrEqual(3);
  });
});

describe("run", () => {
  it("streams the answer to stdout and the figures to stderr", async () => {
    const writes: string[] = [];
    const { code, out, err } = await runCommand(["run", ...MODEL, QUESTION, "-n", "12", "--compare-f16", "--explain"], {
      onStdout: (text) => writes.push(text),
    });
    expect(code).toBe(0);
    expect(out).toMatch(/^The capital of .*\n$/);
    expect(writes.length, "in pieces").toBeGreaterThan(4);
    expect(err).toMatch(/^backend auto: wasm, because a number of threads was asked for\nbackend: wasm/);
    for (const line of [
      /^KV cache, f16 +\d/m,
      /^KV cache, k4v4 +\d/m,
      /^prefill +.*tok\/s/m,
      /^decode +.*tok\/s/m,
      /^agreement with f16 +\d+\.\d % \[\d+\.\d, \d+\.\d\]/m,
    ]) {
      expect(err).toMatch(line);
    }
  });

  it("figures follow the text on a terminal", async () => {
    const { out } = await runCommand(["run", ...ANY_MODEL, QUESTION, "-n", "4"], { isTTY: true });
    expect(out).toMatch(/^ w\d+.*\n\nKV cache, f16/s);
  });

  it("--json is one object and nothing else; the same seed says the same", async () => {
    const argv = ["run", ...MODEL, "--raw", "It was", "-n", "6", "--temp", "1", "-s", "3", "--json"];
    const [a, b] = [await runCommand(argv), await runCommand(argv)];
    const report = JSON.parse(a.out);
    expect(a.out.endsWith("}\n")).toBe(true);
    expect(a.err).toBe("");
    expect(report).toMatchObject({ model: "qwen3-1m", kv: "k4v4", finishReason: "length", agreement: null });
    expect(report.usage.completionTokens).toBe(6);
    expect(report.tokens).toHaveLength(6);
    expect(report.kvBytesF16).toBeGreaterThan(0);
    expect(JSON.parse(b.out).tokens).toEqual(report.tokens);
  });

  it("reads the prompt from a file and from stdin alike", async () => {
    const file = join(folder, "prompt.txt");
    writeFileSync(file, QUESTION);
    const argv = ["run", ...ANY_MODEL, "-n", "6", "--quiet"];
    const direct = await runCommand([...argv, QUESTION]);
    expect(direct.err).toBe("");
    expect((await runCommand([...argv, "-f", file])).out).toBe(direct.out);
    expect((await runCommand([...argv, "-"], { stdin: QUESTION })).out).toBe(direct.out);
  });

  it("a pipe is the prompt, or stands behind one; a socket is read only where there is no other", async () => {
    const argv = ["run", ...ANY_MODEL, "-n", "6", "--quiet", "--raw"];
    const both = await runCommand([...argv, `${QUESTION}\n\nAnd of Spain?`]);
    const piped = (stdinKind: "pipe" | "file" | "socket" | "none", ...words: string[]) =>
      runCommand([...argv, ...words], { stdin: "And of Spain?", stdinKind });
    const alone = (await runCommand([...argv, "And of Spain?"])).out;
    const said = (await runCommand([...argv, QUESTION])).out;
    for (const kind of ["pipe", "file", "socket"] as const) expect((await piped(kind)).out, kind).toBe(alone);
    expect((await piped("pipe", QUESTION)).out).toBe(both.out);
    for (const kind of ["socket", "none"] as const) expect((await piped(kind, QUESTION)).out, kind).toBe(said);
    const { err } = await runCommand([...argv.slice(0, -2), "--raw", QUESTION], { stdin: "And?", stdinKind: "pipe" });
    expect(err).toMatch(/^prompt: 4 characters of stdin stand behind it; < \/dev\/null leaves them out\n/);
  });

  it("other programs' names of options mean ours", async () => {
    const ours = await runCommand(["run", ...ANY_MODEL, "--raw", "-n", "5", "--top-p", "0.9", "--json", QUESTION]);
    const theirs = ["--max-tokens", "5", "--top_p", "0.9", "--json", "-p", QUESTION];
    const { code, out } = await runCommand(["run", ...ANY_MODEL, "--raw", ...theirs]);
    expect(code).toBe(0);
    expect(JSON.parse(out).tokens).toEqual(JSON.parse(ours.out).tokens);
  });

  it("says that the context is full, or goes on without its older half", async () => {
    const argv = ["run", ...ANY_MODEL, "--raw", "It was", "-c", "64", "--kv", "k4v4,window=16", "-n"];
    const full = await runCommand([...argv, "-1"]);
    expect(full.err).toMatch(
      /note: the context of 64 tokens is full; a larger --ctx has more, --context-shift goes on/,
    );
    const shifted = JSON.parse((await runCommand([...argv, "150", "--context-shift", "--keep", "2", "--json"])).out);
    expect(shifted).toMatchObject({ finishReason: "length", usage: { completionTokens: 150 } });
    expect(shifted.tokens).toHaveLength(150);
    expect(shifted.cachedTokens).toBeLessThanOrEqual(64);
  });

  it("a stretched context takes more than the model's own, and its cache is another one's", async () => {
    const long = ["run", ...ANY_MODEL, "--raw", "word ".repeat(30), "-n", "2", "--json"];
    const plain = await runCommand([...long, "--ctx", "4096"]);
    const stretched = await runCommand([...long, "--ctx", "8192", "--rope-scaling", "linear"]);
    expect([plain.code, stretched.code]).toEqual([0, 0]);
    expect(stretched.out).not.toBe(plain.out);
  });

  it("Ctrl-C keeps what was said and exits with 130", async () => {
    const { code, out, err } = await runCommand(["run", ...ANY_MODEL, "--raw", "It was", "-n", "2000"], {
      onStdout: (text, io) => {
        if (text.length > 20) io.interrupt();
      },
    });
    expect(code).toBe(130);
    expect(out.length).toBeGreaterThan(20);
    expect(out.length).toBeLessThan(500);
    expect(err).toMatch(/KV cache, f16[\s\S]*interrupted\n$/);
  });

  it("a second Ctrl-C ends the process at once", async () => {
    const { io } = await runCommand(["run", ...ANY_MODEL, "--raw", "It was", "-n", "50"], {
      onStdout: (text, io) => {
        if (text && io.exits.length === 0) {
          io.interrupt();
          io.interrupt();
        }
      },
    });
    expect(io.exits[0]).toBe(130);
  });
});

describe("eval", () => {
  const argv = ["eval", ...MODEL, "-c", "64", "--chunks", "2", "--needle", "1"];

  it("--json of one format has the fields of the contract", async () => {
    const { code, out, err } = await runCommand([...argv, "--text", textFile, "--kv", "k4v4", "--json"]);
    // How far it is, where it takes long.
    expect([code, err.replace(/^evaluating: .*\n/gm, "")]).toEqual([0, ""]);
    const row = JSON.parse(out);
    for (const field of [
      "ppl",
      "pplBase",
      "kldMean",
      "kldMedian",
      "kldP99",
      "kldP999",
      "top1",
      "needle",
      "needleBase",
      "tokens",
      "bitsPerValue",
      "kvBytes",
      "kvBytesBase",
      "seconds",
    ]) {
      expect(row[field], field).toBeTypeOf("number");
    }
    expect(row).toMatchObject({ kv: "k4v4", model: "qwen3-1m", ctx: 64, chunks: 2, tokens: 128 });
  });

  it("several formats share a run and append rows to a file", async () => {
    const file = join(folder, "rows.jsonl");
    const { out } = await runCommand([
      "eval",
      ...ANY_MODEL,
      ...["-c", "64", "--chunks", "2"],
      "--text",
      textFile,
      "--kv",
      "k4v4,window=0",
      "--kv",
      "f16,q8_0",
      "--json",
      "--out",
      file,
    ]);
    expect(JSON.parse(out).rows.map((row: { kv: string }) => row.kv)).toEqual(["k4v4,window=0", "f16", "q8_0"]);
    const lines = readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => line.kv)).toEqual(["k4v4,window=0", "f16", "q8_0"]);
    expect(lines[0]).toHaveProperty("date");
  });

  it("prints a table with the base in it", async () => {
    const short = join(folder, "short.txt");
    writeFileSync(short, DEFAULT_PROMPT.slice(0, 500));
    const { out, err } = await runCommand(["eval", ...ANY_MODEL, "-c", "64", "--chunks", "50", "--text", short]);
    expect(out).toMatch(
      /^\| kv +\| bits\/value \|.*\n\| -.*\n\| f16 .*\n\| k4v4 .*\n\nmodel, short.txt: \d+ × 64 tokens/,
    );
    expect(err).toMatch(/^note: the text has only \d+ of 50 chunks/);
  });

  it("Ctrl-C exits with 130 and prints no figures", async () => {
    const { code, out, err } = await runCommand([...argv, "--text", textFile, "--explain"], {
      onStderr: (_text, io) => io.interrupt(),
    });
    expect(code).toBe(130);
    expect(out).toBe("");
    expect(err).toMatch(/interrupted\n$/);
  });
});

describe("inspect", () => {
  it("model and format as text and as JSON", async () => {
    const { out } = await runCommand(["inspect", "qwen3-1m", "--kv", "k5v4,layers=0:k8v8", "--ctx", "640"]);
    expect(out).toContain("4 × 128, feed-forward");
    expect(out).toMatch(/^0 +tq8 +tq8 +8 +8 +8\.250 +264 /m);
    expect(out).toMatch(/^1–3 +tq5 +tq4 +4\+1 +4 +4\.750 +152 /m);
    const { model, kv, tensors } = JSON.parse((await runCommand(["inspect", "qwen3-1m", "--json", "--tensors"])).out);
    expect(model).toMatchObject({ modelType: "qwen3", numLayers: 4, headDim: 64 });
    expect(model.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(kv.layers).toHaveLength(4);
    expect(kv.layers[0]).toMatchObject({ bitsPerValue: 4.25, planesK: [4], window: 128, sinks: 4 });
    expect(tensors.length).toBe(model.tensors);
  });
});

describe("bench", () => {
  it("prints llama-bench's rows as JSON lines, and a table", async () => {
    const argv = ["bench", ...ANY_MODEL, "-p", "16", "-n", "2", "-d", "0,32", "--kv", "f16,k4v4", "-r", "2"];
    const { code, out } = await runCommand([...argv, "-o", "jsonl"]);
    expect(code).toBe(0);
    const rows = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows.map((row) => `${row.test} ${row.kv}`)).toEqual([
      "pp16 f16",
      "pp16 k4v4",
      "tg2 f16",
      "tg2 k4v4",
      "pp16 @ d32 f16",
      "pp16 @ d32 k4v4",
      "tg2 @ d32 f16",
      "tg2 @ d32 k4v4",
    ]);
    expect(rows[1]).toMatchObject({
      n_prompt: 16,
      n_gen: 0,
      n_depth: 0,
      type_k: "tq4",
      type_v: "tq4",
      n_threads: 1,
      model_type: "model",
    });
    expect(rows[1].samples_ns).toHaveLength(2);
    // avg_ts is the mean of the samples' rates, as in llama-bench.
    expect(rows[1].avg_ts).toBeCloseTo((rows[1].samples_ts[0] + rows[1].samples_ts[1]) / 2, 6);
    expect(rows[1].samples_ts[0]).toBeCloseTo((16 * 1e9) / rows[1].samples_ns[0], 0);
    const table = await runCommand([...argv, "-p", "0", "-d", "0"]);
    expect(table.out).toMatch(/^\| model .*\| test +\|.*t\/s/);
    expect(table.out).toMatch(/\| tg2 +\| .* ± /);
  });

  it("attention has options of its own, --json prints one object", async () => {
    const { out } = await runCommand([
      "bench",
      "attention",
      "--shape",
      "qwen2.5-0.5b",
      "-d",
      "64",
      "-t",
      "1,2",
      "-r",
      "2",
      "--kv",
      "f16,k3v3",
      "--json",
    ]);
    const { rows } = JSON.parse(out);
    expect(rows.map((row: Record<string, unknown>) => [row["n_threads"], row["kv"]])).toEqual([
      [1, "f16"],
      [1, "k3v3"],
      [2, "f16"],
      [2, "k3v3"],
    ]);
    expect(rows[1].ratio_to_f16).toBeGreaterThan(0);
  });
});
