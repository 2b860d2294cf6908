/** @file `turboquant eval` as a user types it, in this process: on the smaller embedded checkpoint, and where any model will do on one of random weights. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import "../../node/install.ts";
import { runCommand } from "../../../test/support/cli-io.ts";
import { randomModel } from "../../../test/support/random-model.ts";
import { DEFAULT_PROMPT } from "../default-prompt.ts";

const MODEL = ["-m", "qwen3-1m", "-t", "1"];

const { folder, args: ANY_MODEL } = randomModel();
const textFile = join(folder, "text.txt");
beforeAll(() => {
  writeFileSync(textFile, DEFAULT_PROMPT);
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
