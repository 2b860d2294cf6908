/**
 * @file Logits of a small model of every family that we have against Transformers: a prompt in pieces, token by token, forked, cut, restored and in
 * batches. Types that we do not have yet are refused by name. The files are made by test/fixtures/architectures/make.py.
 */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import type { Ops } from "../src/backends/ops.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { families, supportedTypes } from "../src/models/registry.ts";
import { isThorough } from "./support/optional.ts";
import type { SeededModel } from "./support/seeded-checkpoint.ts";
import { expectSeeded } from "./support/seeded-golden.ts";

const FOLDER = new URL("./fixtures/architectures/", import.meta.url);
const models = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".json"))
  .map((file) => {
    const model = JSON.parse(readFileSync(new URL(file, FOLDER), "utf8")) as SeededModel;
    return { name: file.slice(0, -5), modelType: (model.config as { model_type: string }).model_type, model };
  });
const supported = new Set(supportedTypes());
const [ours, others] = [true, false].map((is) => models.filter(({ modelType }) => supported.has(modelType) === is));

describe("seeded models", () => {
  let wasm: Ops;
  beforeAll(async () => {
    wasm = await createWasmBackend({ threads: 1 });
  });
  afterAll(() => wasm.dispose());

  it.each(ours!)("$name", async ({ model }) => {
    await expectSeeded(wasm, model);
    if (isThorough) await expectSeeded(createReferenceBackend(), model);
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
