/** @file `turboquant run` as a user types it, in this process: on the smaller embedded checkpoint, and where any model will do on one of random weights. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import "../../node/install.ts";
import { runCommand } from "../../../test/support/cli-io.ts";
import { randomModel } from "../../../test/support/random-model.ts";

const MODEL = ["-m", "qwen3-1m", "-t", "1"];
const QUESTION = "What is the capital of France?";

const { folder, args: ANY_MODEL } = randomModel();

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
