/** @file A delta rule with decays by channel goes row by row, so that it leaves the same bits however a prompt is cut, as its state says. */
import { expect, it } from "vitest";
import "../src/node/install.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { Runner } from "../src/engine/runner.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { Decoder } from "../src/models/decoder.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import { seededCheckpoint, seededModel } from "./support/seeded-checkpoint.ts";

const model = seededModel("kimi_linear-published");

it.each([
  ["reference", async () => createReferenceBackend()],
  ["wasm", () => createWasmBackend({ threads: 1 })],
] as const)("%s", async (_name, open) => {
  const ops = await open();
  const config = parseModelConfig(model.config, "config.json");
  const options = { config, kv: parseKvSpec("f32"), weights: "auto" } as const;
  const decoder = await Decoder.load(ops, seededCheckpoint(model), options);
  const cache = decoder.createCache();
  const logits = (chunkTokens: number): Promise<Float32Array> =>
    new Runner(decoder, { contextLength: 64, chunkTokens }).prefill(cache.createSequence(), model.ids);
  expect(await logits(7)).toEqual(await logits(40));
  decoder.dispose();
  ops.dispose();
});
