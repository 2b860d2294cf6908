/** @file `turboquant plan` as a user types it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import "../node/install.ts";
import { runCommand } from "../../test/support/cli-io.ts";

const plan = (...argv: string[]) => runCommand(["plan", "--quiet", ...argv]);
const json = async (...argv: string[]) => JSON.parse((await plan("--json", ...argv)).out);

describe("plan", () => {
  it("the embedded model fits, and JSON is one object that says the same", async () => {
    const { code, out, err } = await plan("--memory", "2GB");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^model +qwen3-3m \(qwen3\), 6 layers, 2 KV heads of 64\n/);
    expect(out).toMatch(/Fits: f16 has most bits of those that hold 4,096 tokens/);
    const report = await json("--memory", "2GB");
    expect(report).toMatchObject({ fits: true, best: "f16", context: 4096, sequences: 1, backend: "wasm", notes: [] });
    expect(report.formats.map((f: { kv: string }) => f.kv)).toEqual(expect.arrayContaining(["f16", "k4v4", "k2v2"]));
    expect(report.contexts.map((c: { context: number }) => c.context)).toEqual([512, 1024, 2048, 4096]);
  });

  it("the model may be named by the argument, --model or --shape", async () => {
    expect(await json("qwen3-1m")).toEqual(await json("--model", "qwen3-1m"));
    expect((await json("--shape", "qwen3-32b")).model).toMatchObject({ name: "qwen3-32b", layers: 64 });
  });

  it("says what does not fit and what would", async () => {
    const { code, out } = await plan("--shape", "qwen3-32b", "--memory", "75GB", "-c", "262144");
    expect(code, "the answer is no").toBe(3);
    expect(out).toMatch(
      /Does not fit: 262,144 tokens need .* even with k2v2\. Try a shorter context \(k2v2 holds [\d,]+ tokens\)/,
    );
    expect(out).toMatch(/note: 262,144 tokens are 6\.4 times the 40,960 of max_position_embeddings/);
    expect(out).toContain("→");
    expect((await plan("--shape", "qwen3-32b", "--memory", "20GB")).out).toMatch(
      /Try a smaller model, weights of fewer/,
    );
  });

  it("tables fit the terminal", async () => {
    const { out } = await runCommand(["plan", "--shape", "qwen3-32b", "--memory", "128GB"], { isTTY: true });
    const tables = out.split("\n").filter((line) => /^ *(k\dv\d|f16|q8_0|\d[\d,]+) /.test(line));
    expect(tables.length).toBeGreaterThan(8);
    expect(Math.max(...tables.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(out).toMatch(/^kv +bits\/value .*free +longest context/m);
  });

  it("several sequences, formats and lengths as asked", async () => {
    const report = await json("--kv", "k4v4,window=0,f16", "--sequences", "3", "--contexts", "100,200", "-c", "300");
    expect(report.formats.map((f: { kv: string }) => f.kv)).toEqual(["f16", "k4v4,window=0"]);
    expect(report.contexts.map((c: { context: number }) => c.context)).toEqual([100, 200]);
    expect(report.formats[0].cacheBytes).toBe(3 * 320 * 3072);
  });

  it("a bare config.json of a mixture of experts, and one that is refused", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tq-plan-"));
    const file = join(folder, "config.json");
    const model = {
      model_type: "gpt_oss",
      hidden_size: 1152,
      num_hidden_layers: 26,
      num_attention_heads: 4,
      num_key_value_heads: 1,
      intermediate_size: 6912,
      vocab_size: 262_144,
      num_local_experts: 8,
      num_experts_per_tok: 2,
      sliding_window: 512,
      max_position_embeddings: 32_768,
    };
    try {
      writeFileSync(file, JSON.stringify(model));
      const { code, out } = await plan(file, "--memory", "16GB");
      expect(code).toBe(0);
      expect(out).toMatch(/note: 13 of 26 layers attend to the last 512 tokens only/);
      writeFileSync(file, JSON.stringify({ ...model, model_type: "falcon_mamba" }));
      const refused = await plan(file);
      expect(refused.code).toBe(2);
      expect(refused.err).toMatch(
        /^error: .*falcon_mamba model cannot be planned: only some of its layers have K and V.*\n$/,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    [["--memory", "24XB"], /Expected a size such as 512MB, 24GB or 2GiB/],
    [["--memory", "lots"], /Expected a size/],
    [["--memory", "24"], /a size with its unit; 24 would be bytes, was 24GB meant\?/],
    [["--context", "0"], /Expected a whole number of at least 1/],
    [["--weights", "q3"], /Allowed choices are auto, f32/],
    [["--backend", "cuda"], /Allowed choices are auto, wasm, webgpu/],
    [["--kv", "k4v9"], /"k4v9" is not a preset/],
    [["--shape", "qwen3-33b"], /shape: expected one of/],
    [["--memory", "1GB", "--reserve", "2GB"], /a reserve below the memory/],
    [["./nowhere"], /expected a directory, a \.gguf file, .*, a name on the hub/],
  ])("%j is the user's mistake", async (argv, message) => {
    const { code, out, err } = await plan(...argv);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(message);
  });
});
