/** @file `turboquant calibrate` as a user types it. */
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import "../node/install.ts";
import { randomCalibration } from "../../test/support/calibration.ts";
import { runCommand } from "../../test/support/cli-io.ts";
import { writeRandomCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { writeGguf } from "../../test/support/gguf-file.ts";
import { folderAsGguf } from "../../test/support/gguf-model.ts";
import { checkpointPath } from "../../test/support/shared.ts";
import { LLM } from "../engine/llm.ts";
import { CALIBRATION_FILE, calibratedShape, writeCalibration } from "../models/calibration-file.ts";

let folder: string;
let text: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "calibrate-"));
  cpSync(checkpointPath("qwen3-1m")!, folder, { recursive: true });
  rmSync(join(folder, CALIBRATION_FILE), { force: true });
  text = join(folder, "novel.txt");
  const sentence = (i: number): string =>
    `On day ${i} the old house by the river was as quiet as ${i % 7} sleeping dogs. `;
  writeFileSync(text, Array.from({ length: 150 }, (_, i) => sentence(i)).join(""));
});
afterAll(() => rmSync(folder, { recursive: true }));

const calibrate = (...argv: string[]) =>
  runCommand(["calibrate", "--quiet", "-t", "1", "--model", folder, "--text", text, ...argv]);

it("writes the file beside the model, says what it gains, and replaces it only when told to", async () => {
  const { code, out, err } = await calibrate("--tokens", "1024", "-c", "256", "--check", "--json");
  expect([code, err]).toEqual([0, ""]);
  const report = JSON.parse(out);
  const file = join(folder, CALIBRATION_FILE);
  expect(report).toMatchObject({ model: basename(folder), file, tokens: 1024, ctx: 256, textSource: "novel.txt" });
  expect(report.bytes).toBe(statSync(file).size);
  expect(report.layers).toHaveLength(4);
  expect(report.predictedKeyNoise).toBeGreaterThan(0.05);
  expect(report.predictedKeyNoise).toBeLessThan(1);
  expect(report.measured.kldWith).toBeLessThan(report.measured.kldWithout);

  const before = readFileSync(file);
  const again = await calibrate();
  expect(again.code).toBe(2);
  expect(again.err).toContain("is there already; pass --force to replace it");
  expect(readFileSync(file)).toEqual(before);
});

it("beside GGUF files there is one for each, whose name it bears; the other file is untouched by it", async () => {
  const own = join(folder, "gguf");
  writeRandomCheckpoint(join(own, "model"));
  const file = (name: string): string => join(own, `${name}.gguf`);
  for (const name of ["a-Q8_0", "b"]) {
    writeFileSync(file(name), writeGguf(await folderAsGguf(join(own, "model"), { name })));
  }
  const load = (name: string) => LLM.load(file(name), { backend: "reference", contextLength: 64 });
  await using plain = await load("a-Q8_0");
  const { numKvHeads, headDim } = plain.config;
  const shape = calibratedShape(plain.config);
  const layers = shape.layers.map((_, i) => randomCalibration(numKvHeads, headDim, i));
  const path = join(own, "a-Q8_0.kv_calibration.safetensors");
  writeFileSync(path, writeCalibration(layers, shape, plain.weightsFingerprint));
  const again = await runCommand(["calibrate", "-m", file("a-Q8_0"), "--text", text]);
  expect([again.code, again.err]).toEqual([
    2,
    `error: calibrate: ${path} is there already; pass --force to replace it\n`,
  ]);
  await using calibrated = await load("a-Q8_0");
  await using other = await load("b");
  expect(plain.fingerprint).toBe(plain.weightsFingerprint);
  expect(calibrated.fingerprint).toMatch(/\+calibration:/);
  expect(other.fingerprint).toBe(other.weightsFingerprint);
});

it("refuses a model that has no folder here before it is fetched", async () => {
  const { code, err } = await runCommand(["calibrate", "-m", "http://127.0.0.1:9/m.gguf", "--text", text]);
  expect(code).toBe(2);
  expect(err).toMatch(
    /^error: calibrate: http:\S+ is not in a folder of its own on this machine.*; copy the model into one, or pass --out/,
  );
});

it("refuses a text that is too short and a place that cannot be written", async () => {
  const short = join(folder, "short.txt");
  writeFileSync(short, "Too short to learn from. ".repeat(40));
  const out = join(folder, "other.safetensors");
  const few = await runCommand(["calibrate", "--quiet", "-m", folder, "--text", short, "--out", out, "-c", "64"]);
  expect([few.code, few.out]).toEqual([2, ""]);
  expect(few.err).toMatch(/expected a text of at least 1024 tokens, got \d+; pass a longer one/);
  const nowhere = await calibrate("--tokens", "1024", "-c", "512", "--out", join(folder, "no", "where.safetensors"));
  expect(nowhere.code).toBe(2);
  expect(nowhere.err).toMatch(/cannot be written: there is no such file or folder \(ENOENT\); choose another place/);
});

it("of a model with Mamba-2 in most layers it calibrates the others, which eval then reads as codes", async () => {
  const hybrid = join(folder, "hybrid");
  writeRandomCheckpoint(hybrid, {
    model_type: "bamba",
    attn_layer_indices: [1, 3],
    ...{ mamba_n_heads: 4, mamba_d_head: 16, mamba_n_groups: 1, mamba_d_state: 8, mamba_expand: 2 },
  });
  const run = (command: string, ...argv: string[]) =>
    runCommand([command, "--quiet", "-t", "1", "-m", hybrid, "--text", text, "-c", "256", ...argv]);
  const made = await run("calibrate", "--tokens", "1024");
  expect([made.code, made.err]).toEqual([0, ""]);
  expect(made.out).toMatch(/\|\s+1 \|.*\n\|\s+3 \|/);
  const { code, out, err } = await run("eval", "--chunks", "1", "--kv", "k4v4,sinks=0,window=0", "--diagnose");
  expect([code, err]).toEqual([0, ""]);
  expect(out).toContain("read path: packed");
  expect(out).toMatch(/\|\s+1 \|.*\n\|\s+3 \|/);
  // Codes and scales, without the states of the other layers.
  expect(out).toMatch(/k4v4,sinks=0,window=0 \|\s+4\.25 \|/);
});
