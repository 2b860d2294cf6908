/** @file A checkpoint that carries a calibration: it is applied, named in the fingerprint, and refused when it does not fit. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import "../src/node/install.ts";
import { collect, LLM } from "../src/index.ts";
import * as matrix from "../src/math/matrix.ts";
import { CALIBRATION_FILE, writeCalibration } from "../src/models/calibration-file.ts";
import { randomCalibration } from "./support/calibration.ts";
import { checkpointPath } from "./support/shared.ts";

vi.mock("../src/math/matrix.ts", { spy: true });

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "calibrated-"));
  cpSync(checkpointPath("qwen3-1m")!, folder, { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true }));

async function fingerprint(): Promise<string> {
  await using llm = await LLM.load(folder, { kv: "f16", threads: 1 });
  return llm.weightsFingerprint;
}

/** Random constants for qwen3-1m: 4 layers of 2 KV heads of 64. */
async function calibrate(seed: number, headDim = 64, model?: string): Promise<void> {
  const layers = Array.from({ length: 4 }, (_, layer) => randomCalibration(2, headDim, 10 * seed + layer));
  const shape = { layers: layers.map(() => ({ numKvHeads: 2, headDim })) };
  const bytes = writeCalibration(layers, shape, model ?? (await fingerprint()));
  writeFileSync(join(folder, CALIBRATION_FILE), bytes);
}

const PROMPT = "Once upon a time there was a little girl who lived";
const OPTIONS = { maxNewTokens: 20, temperature: 0, ignoreEos: true };

it("shifting and balancing keys changes nothing when the cache is exact", async () => {
  await calibrate(1);
  await using plain = await LLM.load(folder, { kv: "f32", threads: 1 });
  await using calibrated = await LLM.load(folder, { kv: "f32,calibration=auto", threads: 1 });
  expect(calibrated.fingerprint).not.toBe(plain.fingerprint);
  const expected = await collect(plain.generate(PROMPT, OPTIONS));
  expect((await collect(calibrated.generate(PROMPT, OPTIONS))).tokens).toEqual(expected.tokens);
});

it("a transform with codes of 8 bits changes little, on values as on keys", async () => {
  await calibrate(1);
  const first = async (kv: string): Promise<readonly number[]> => {
    await using llm = await LLM.load(folder, { kv, threads: 1 });
    return (await collect(llm.generate(PROMPT, { ...OPTIONS, maxNewTokens: 4 }))).tokens;
  };
  expect(await first("k8v8,sinks=0,window=0")).toEqual(await first("f32"));
});

it("another calibration is another fingerprint", async () => {
  await calibrate(1);
  await using first = await LLM.load(folder, { kv: "k4v4", threads: 1 });
  await calibrate(2);
  await using second = await LLM.load(folder, { kv: "k4v4", threads: 1 });
  expect(second.fingerprint).not.toBe(first.fingerprint);
});

it("one of another shape or model, or one that is not there, is refused", async () => {
  await calibrate(1, 32);
  await expect(LLM.load(folder, { kv: "k4v4" })).rejects.toThrow(/key_mean: expected f32 \[2,64\]/);
  await calibrate(1, 64, "of another model");
  await expect(LLM.load(folder, { kv: "k4v4" })).rejects.toThrow(/made for another model/);
  await expect(LLM.load(folder, { kv: "k4v4,calibration=other.safetensors" })).rejects.toThrow(
    /other.safetensors is not in/,
  );
});

it("maps are derived when a format is loaded, not by the first token", async () => {
  await calibrate(3);
  // K and V of two heads of four layers.
  const derived = (): number => vi.mocked(matrix.cholesky).mock.calls.length;
  let before = derived();
  await using llm = await LLM.load(folder, { kv: "f16", threads: 1 });
  expect(derived() - before).toBe(0);
  await using view = await llm.withKv("k4v4");
  expect(derived() - before).toBe(16);
  before = derived();
  await collect(view.generate(PROMPT, OPTIONS));
  expect(derived() - before).toBe(0);
});

it("views of other formats give back all they took", async () => {
  await calibrate(1);
  await using llm = await LLM.load(folder, { kv: "f16", threads: 1 });
  const run = async (kv: string): Promise<void> => {
    await using view = await llm.withKv(kv);
    await collect(view.generate(PROMPT, { ...OPTIONS, maxNewTokens: 2 }));
  };
  const others = ["paper-3+qjl", "k2v2", "k4v4,rotation=qr,seed=3", "k8v8,feedback=off"];
  // Scratch memory grows to what is needed most, and pages stay with the backend.
  for (const kv of ["k4v4", ...others]) await run(kv);
  const before = llm.ops.usedBytes!;
  for (let n = 0; n < 40; n++) await run("k4v4");
  for (const kv of others) await run(kv);
  expect(llm.ops.usedBytes).toBe(before);
});
