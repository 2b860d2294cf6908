/** @file The embedded and reference checkpoints as files: sound as they are, refused when damaged on disk. */
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadGenerationConfig } from "../src/formats/generation-config.ts";
import { readJson } from "../src/formats/json-file.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { writeSafetensors } from "../src/formats/write-safetensors.ts";
import { checkWeights } from "../src/models/check-weights.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { layoutOf, tensorSpecs } from "../src/models/layout.ts";
import { shapeConfig } from "../src/models/shapes.ts";
import { DirectorySource } from "../src/node/directory-source.ts";
import { checkpointPath, sharedPath } from "./support/shared.ts";

async function open(directory: string) {
  const source = new DirectorySource(directory);
  try {
    const config = parseModelConfig(await readJson(source, "config.json"), `${directory}/config.json`);
    const checkpoint = await openCheckpoint(source);
    const tensors = await checkpoint.tensors();
    await checkWeights(checkpoint, config);
    const first = await checkpoint.read("model.embed_tokens.weight");
    return {
      config,
      tensors,
      first,
      fingerprint: await checkpoint.fingerprint(),
      generation: await loadGenerationConfig(source, config),
    };
  } finally {
    await source.close();
  }
}

describe("checkpoints", () => {
  const expected = {
    "qwen3-1m": {
      numLayers: 4,
      hiddenSize: 128,
      numHeads: 4,
      numKvHeads: 2,
      headDim: 64,
      intermediateSize: 384,
      traits: { qkNorm: "head" },
    },
    "qwen3-3m": {
      numLayers: 6,
      hiddenSize: 192,
      numHeads: 4,
      numKvHeads: 2,
      headDim: 64,
      intermediateSize: 576,
      traits: { qkNorm: "head" },
    },
    "qwen3-9m": {
      numLayers: 8,
      hiddenSize: 288,
      numHeads: 4,
      numKvHeads: 2,
      headDim: 128,
      intermediateSize: 864,
      traits: { qkNorm: "head" },
    },
    "mistral-9m": {
      numLayers: 8,
      hiddenSize: 288,
      numHeads: 4,
      numKvHeads: 2,
      headDim: 128,
      intermediateSize: 864,
      traits: { qkNorm: "none" },
    },
  };
  const prints = new Set<string>();
  for (const [model, shape] of Object.entries(expected)) {
    const path = checkpointPath(model);
    it.skipIf(!path)(`${model}${path ? "" : " (skipped: not present)"}`, async () => {
      const { config, tensors, first, fingerprint, generation } = await open(path!);
      expect(config).toMatchObject({ ...shape, vocabSize: 4096, tieWordEmbeddings: true, maxPositionEmbeddings: 4096 });
      expect(config.rope).toEqual({ type: "default", theta: 10_000 });
      expect([0, config.numLayers - 1].map((layer) => config.slidingWindow(layer))).toEqual([0, 0]);
      expect(tensors.size).toBe(tensorSpecs(layoutOf(config)).size);
      expect(first.length).toBe(4096 * config.hiddenSize * 2);
      expect(generation).toEqual({ eosTokenIds: [0, 2], bosTokenId: 0, padTokenId: 0, sampling: {} });
      expect(prints.has(fingerprint)).toBe(false);
      prints.add(fingerprint);
      const { params } = JSON.parse(await readFile(join(path!, "training.json"), "utf8"));
      expect([...tensors.values()].reduce((sum, { numBytes }) => sum + numBytes, 0)).toBe(params * 2);
    });
  }
});

describe("a damaged checkpoint on disk", () => {
  let directory: string;
  const weights = () => join(directory, "model.safetensors");
  const embedded = checkpointPath("qwen3-1m")!;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "tq-damaged-"));
    for (const file of ["config.json", "generation_config.json"]) await cp(join(embedded, file), join(directory, file));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));
  const refused = (message: RegExp) =>
    expect(open(directory)).rejects.toMatchObject({ code: "invalid_file", message: expect.stringMatching(message) });

  it("truncated", async () => {
    await cp(join(embedded, "model.safetensors"), weights());
    await truncate(weights(), 3_000_000);
    await refused(/model\.safetensors: tensor .*the file is truncated, copy or download it again/);
    await truncate(weights(), 1000);
    await refused(/model\.safetensors: expected a header of \d+ bytes, got a file of 1000; the file is truncated/);
  });

  it("weights of another model", async () => {
    const w = { dtype: "bf16", shape: [2, 2], data: new Uint8Array(8) } as const;
    await writeFile(weights(), writeSafetensors({ "model.embed_tokens.weight": w }));
    await refused(/model\.embed_tokens\.weight: expected \[4096,128\] by its config\.json, got \[2,2\]/);
    await writeFile(weights(), writeSafetensors({ "transformer.wte.weight": w }));
    await refused(/tensor model\.embed_tokens\.weight is missing/);
  });

  it("a shard that was not copied", async () => {
    await rm(weights());
    const map = { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" };
    await writeFile(join(directory, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
    await writeFile(
      join(directory, map.a),
      writeSafetensors({ a: { dtype: "f32", shape: [1], data: new Uint8Array(4) } }),
    );
    await refused(/1 of 2 shards are missing \(model-00002-of-00002\.safetensors\)/);
  });
});

/** A config without its functions. */
const dataOf = (config: object): object =>
  Object.fromEntries(Object.entries(config).filter(([, value]) => typeof value !== "function"));

const published = sharedPath("data/configs/shapes.json");
describe.skipIf(!published)(`shapes${published ? "" : " (skipped: reference data not present)"}`, () => {
  it("equal the collected configs", async () => {
    const { comment: _, ...shapes } = JSON.parse(await readFile(published!, "utf8"));
    for (const [name, json] of Object.entries(shapes)) {
      const { slidingWindow: own, ...shape } = shapeConfig(name);
      const { slidingWindow, ...expected } = parseModelConfig({ sliding_window: null, ...(json as object) }, name);
      expect(dataOf(shape), name).toEqual(dataOf(expected));
      expect(own(0)).toBe(slidingWindow(0));
    }
  });
});
