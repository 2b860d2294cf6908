/**
 * @file Logits of a small model of every family that we have against Transformers: a prompt in two pieces, then token by token. Types that we
 * do not have yet are refused by name. The files are made by test/fixtures/architectures/make.py.
 */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import type { Ops } from "../src/backends/ops.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { Runner } from "../src/engine/runner.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { Decoder } from "../src/models/decoder.ts";
import { families, supportedTypes } from "../src/models/registry.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import { isThorough } from "./support/optional.ts";
import { type SeededModel, seededCheckpoint } from "./support/seeded-checkpoint.ts";

const FOLDER = new URL("./fixtures/architectures/", import.meta.url);
const models = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".json"))
  .map((file) => {
    const model = JSON.parse(readFileSync(new URL(file, FOLDER), "utf8")) as SeededModel;
    return { name: file.slice(0, -5), modelType: (model.config as { model_type: string }).model_type, model };
  });
const supported = new Set(supportedTypes());
const [ours, others] = [true, false].map((is) => models.filter(({ modelType }) => supported.has(modelType) === is));

/** A prompt in two pieces, longer than the windows of these models, and single tokens. */
const STEPS = [21, 10];

async function expectLogits(ops: Ops, { config: json, ...model }: SeededModel): Promise<void> {
  const config = parseModelConfig(json, "config.json");
  const checkpoint = seededCheckpoint({ config: json, ...model });
  const decoder = await Decoder.load(ops, checkpoint, { config, kv: parseKvSpec("f32"), weights: "auto" });
  const runner = new Runner(decoder, { contextLength: 64 });
  const sequence = decoder.createCache().createSequence();
  const { vocabSize } = config;
  for (let row = 0, step = 0; row < model.ids.length; step++) {
    const tokens = model.ids.slice(row, row + (STEPS[step] ?? 1));
    const logits = await runner.step([{ sequence, tokens, logits: "all" }]);
    for (const at of tokens.keys()) {
      const own = logits.subarray(at * vocabSize, (at + 1) * vocabSize);
      const l2 = model.logit_l2[row]!;
      const length = Math.abs(Math.hypot(...own) / l2 - 1);
      if (!(length < 2e-3)) expect(length, `length of logits at ${row}`).toBeLessThan(2e-3);
      for (const [n, token] of model.probe.entries()) {
        const difference = Math.abs(own[token]! - model.probe_logits[row]![n]!);
        const bound = 5e-3 * Math.max(1, l2 / Math.sqrt(vocabSize));
        if (!(difference < bound)) expect(difference, `logit of ${token} at ${row}`).toBeLessThan(bound);
      }
      row++;
    }
  }
  sequence.release();
  decoder.dispose();
}

describe("seeded models", () => {
  let wasm: Ops;
  beforeAll(async () => {
    wasm = await createWasmBackend({ threads: 1 });
  });
  afterAll(() => wasm.dispose());

  it.each(ours!)("$name", async ({ model }) => {
    await expectLogits(wasm, model);
    if (isThorough) await expectLogits(createReferenceBackend(), model);
  });

  it("stand for every family", () => {
    // Kimi K2 is DeepSeek-V3 by another name, which Transformers does not have.
    const seen = new Set(["kimi_k2", ...ours!.map(({ modelType }) => modelType)]);
    expect(families.map(({ modelType }) => modelType).filter((modelType) => !seen.has(modelType))).toEqual([]);
  });
});

it.each(others!)("$modelType is known and not yet supported", ({ modelType, model }) => {
  expect(() => parseModelConfig(model.config, "config.json")).toThrow(
    new RegExp(`got "${modelType}", which is known and not yet supported: it needs \\w+`),
  );
});

it("a type that nobody knows is refused with those that are supported", () => {
  expect(() => parseModelConfig({ model_type: "abacus" }, "config.json")).toThrow(
    /model_type: expected one of llama, mistral, .*, got "abacus"; use a checkpoint of a supported type/,
  );
});
