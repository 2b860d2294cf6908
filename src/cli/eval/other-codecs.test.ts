/** @file Other people's codecs as a user evaluates them: their words, their bits, and that attention read their codes. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import "../../node/install.ts";
import { runCommand } from "../../../test/support/cli-io.ts";
import { writeRandomCheckpoint } from "../../../test/support/fake-checkpoint.ts";
import { LLM } from "../../engine/llm.ts";
import type { EvalRow } from "../../eval/evaluate.ts";
import { DEFAULT_PROMPT } from "../default-prompt.ts";

const folder = mkdtempSync(join(tmpdir(), "turboquant-others-"));
const model = join(folder, "model");
const textFile = join(folder, "story.txt");
const rotations = join(folder, "oscar.safetensors");
beforeAll(() => {
  writeRandomCheckpoint(model, { num_hidden_layers: 1 });
  writeFileSync(textFile, DEFAULT_PROMPT);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

it("run on the reference backend, each counted as allocated, with OSCAR's rotations from a file", async () => {
  const made = await runCommand([
    "calibrate",
    "-m",
    model,
    "-t",
    "1",
    "--quiet",
    "--method",
    "oscar",
    "--out",
    rotations,
  ]);
  expect([made.code, made.err]).toEqual([0, ""]);
  expect(made.out).toContain(`--kv oscar-2,calibration=${rotations}`);
  const oscar = `oscar-2,sinks=0,window=0,calibration=${rotations}`;
  const kv = ["int4", "nvfp4", "kvarn-4,sinks=0", oscar].join(",");
  const argv = [
    "eval",
    "-m",
    model,
    "--backend",
    "reference",
    "--text",
    textFile,
    "-c",
    "192",
    "--chunks",
    "1",
    "--quiet",
  ];
  const { code, out, err } = await runCommand([...argv, "--kv", kv, "--json"]);
  expect([code, err]).toEqual([0, ""]);
  const rows: EvalRow[] = JSON.parse(out).rows;
  expect(rows.map(({ readPath }) => readPath)).toEqual(["packed", "packed", "packed", "packed"]);
  // head_dim 64; of kvarn three pages, and 16-bit copies of the last 64 tokens, a page of 16 more where they begin.
  expect(rows.map(({ bitsPerValue }) => bitsPerValue)).toEqual([4.5, 4.5, expect.closeTo(4.75 + 16 / 3, 0), 2.5]);
  expect(rows.every(({ kldMean }) => kldMean > 0 && kldMean < 1)).toBe(true);
  expect(rows[3]!.kldMean).toBeGreaterThan(rows[0]!.kldMean);
});

it("are refused by name where there are no kernels, and OSCAR without rotations of its own", async () => {
  const argv = ["eval", "-m", model, "-t", "1", "--backend", "wasm", "--text", textFile, "-c", "160", "--chunks", "1"];
  for (const kv of ["int4", "nvfp4", "kvarn-2"]) {
    const { code, err } = await runCommand([...argv, "--kv", kv]);
    expect([code, kv]).toEqual([2, kv]);
    expect(err).toMatch(/--backend reference/);
  }
  expect((await runCommand([...argv, "--kv", "oscar-2"])).err).toMatch(/calibrate --method oscar --out/);
  const { code, err } = await runCommand(["calibrate", "-m", model, "--method", "oscar"]);
  expect([code, err]).toEqual([2, expect.stringContaining("pass --out oscar.safetensors")]);
});

it("the rotations are orthogonal", async () => {
  const llm = await LLM.load(model, { kv: `oscar-2,calibration=${rotations}`, backend: "reference" });
  const { forward, inverse } = llm.decoder.attentionLayer(0).kv.transforms.k;
  for (let i = 0; i < 64; i += 9) {
    for (let j = 0; j < 64; j += 7) {
      let product = 0;
      for (let c = 0; c < 64; c++) product += forward![i * 64 + c]! * forward![j * 64 + c]!;
      // Matrices are stored as f16.
      expect(product).toBeCloseTo(i === j ? 1 : 0, 2);
      expect(inverse![i * 64 + j]).toBeCloseTo(forward![i * 64 + j]!, 2);
    }
  }
  await llm.dispose();
});
