/** @file A checkpoint that carries a calibration: it is applied, named in the fingerprint, and refused when it does not fit. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import "../src/node/install.ts";
import { writeSafetensors } from "../src/formats/write-safetensors.ts";
import { collect, LLM } from "../src/index.ts";
import { CounterRng } from "../src/math/rng.ts";
import { checkpointPath } from "./helpers/shared.ts";

const SIZE = 2 * 64; // numKvHeads · headDim of qwen3-1m
const LAYERS = 4;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "calibrated-"));
  cpSync(checkpointPath("qwen3-1m")!, folder, { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true }));

function calibrate(seed: number, size = SIZE): void {
  const rng = new CounterRng(seed, 1);
  const tensors = Array.from({ length: LAYERS }, (_, layer) => {
    const mean = Float32Array.from({ length: size }, (_, i) => rng.gaussian(layer * size + i));
    const balance = Float32Array.from({ length: size }, (_, i) => 0.5 + rng.uniform(i % 32));
    const tensor = (name: string, data: Float32Array) =>
      [
        `layers.${layer}.${name}`,
        { dtype: "f32" as const, shape: [2, size / 2], data: new Uint8Array(data.buffer) },
      ] as const;
    return [tensor("key_mean", mean), tensor("balance", balance)];
  });
  writeFileSync(join(folder, "kv_calibration.safetensors"), writeSafetensors(Object.fromEntries(tensors.flat())));
}

const PROMPT = "Once upon a time there was a little girl who lived";
const OPTIONS = { maxNewTokens: 20, temperature: 0, ignoreEos: true };

it("shifting and balancing keys changes nothing when the cache is exact", async () => {
  calibrate(1);
  await using plain = await LLM.load(folder, { kv: "f32", threads: 1 });
  await using calibrated = await LLM.load(folder, { kv: "f32,calibration=auto", threads: 1 });
  expect(calibrated.fingerprint).not.toBe(plain.fingerprint);
  const expected = await collect(plain.generate(PROMPT, OPTIONS));
  expect((await collect(calibrated.generate(PROMPT, OPTIONS))).tokens).toEqual(expected.tokens);
});

it("another calibration is another fingerprint", async () => {
  calibrate(1);
  await using first = await LLM.load(folder, { kv: "k4v4", threads: 1 });
  calibrate(2);
  await using second = await LLM.load(folder, { kv: "k4v4", threads: 1 });
  expect(second.fingerprint).not.toBe(first.fingerprint);
});

it("one of another shape, or one that is not there, is refused", async () => {
  calibrate(1, 64);
  await expect(LLM.load(folder, { kv: "k4v4" })).rejects.toThrow(/key_mean: expected f32 \[2, 64\]/);
  await expect(LLM.load(folder, { kv: "k4v4,calibration=other.safetensors" })).rejects.toThrow(
    /other.safetensors is not in/,
  );
});
