/** @file A plan reads kilobytes of a checkpoint, wherever it lies. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HubServer } from "../../test/support/hub-server.ts";
import { writeSafetensors } from "../formats/write-safetensors.ts";
import { parseModelConfig } from "../models/config.ts";
import { layoutOf, tensorSpecs } from "../models/layout.ts";
import { readPlannedModel } from "../plan/read-model.ts";
import { weightMemory } from "../plan/weight-memory.ts";
import { openMetadataSource } from "./metadata-source.ts";

const config = {
  model_type: "qwen3",
  hidden_size: 256,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 64,
  intermediate_size: 512,
  vocab_size: 2048,
  max_position_embeddings: 4096,
  // Wrong on purpose: the headers know better.
  torch_dtype: "bfloat16",
};
const tensors = Object.fromEntries(
  [...tensorSpecs(layoutOf(parseModelConfig(config, ""))).values()].map(({ name, shape }) => [
    name,
    { dtype: "f32" as const, shape, data: new Uint8Array(shape.reduce((a, b) => a * b, 4)) },
  ]),
);
const weights = writeSafetensors(tensors);
const files: Record<string, Uint8Array> = {
  "config.json": new TextEncoder().encode(JSON.stringify(config)),
  "model.safetensors": weights,
};

let folder: string;
let server: HubServer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tq-meta-"));
  server = await HubServer.start();
  server.repos.set("org/tiny", { files });
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});
const hub = (more = {}) => ({
  settings: { endpoint: server.endpoint, cacheDir: folder, isOffline: false, token: "hf_test", ...more },
});
const filesAsked = () =>
  server.seen.filter(({ server: name, path }) => name === "store" || path.endsWith("config.json"));

async function planned(ref: string, options = hub()) {
  const source = await openMetadataSource(ref, options);
  try {
    return await readPlannedModel(source);
  } finally {
    await source.close();
  }
}

describe("openMetadataSource", () => {
  it("of a hub id reads config and headers, not the weights, with the token", async () => {
    const model = await planned("org/tiny");
    expect(model).toMatchObject({ name: "org/tiny", storedType: "f32" });
    expect(weightMemory(model, "auto", "wasm").parameters * 4).toBe(
      Object.values(tensors).reduce((sum, { data }) => sum + data.length, 0),
    );
    expect(filesAsked().map(({ range, authorization }) => [range, authorization])).toEqual([
      [`bytes=0-${files["config.json"]!.length - 1}`, "Bearer hf_test"],
      ["bytes=0-262143", undefined],
    ]);
  });

  it("takes what the hub's cache holds without asking the hub", async () => {
    const snapshot = join(folder, "models--org--tiny", "snapshots", "main");
    await mkdir(snapshot, { recursive: true });
    for (const [file, bytes] of Object.entries(files)) await writeFile(join(snapshot, file), bytes);
    await writeFile(join(snapshot, "tokenizer.json"), "{}");
    expect(await planned("org/tiny", hub({ isOffline: true }))).toMatchObject({ storedType: "f32" });
    expect(server.seen).toEqual([]);
  });

  it("a directory is read by its headers, a bare config.json by itself, without weights by its word", async () => {
    for (const [file, bytes] of Object.entries(files)) await writeFile(join(folder, file), bytes);
    expect(await planned(folder)).toMatchObject({ storedType: "f32", name: basename(folder) });
    const file = join(folder, "config.json");
    expect(await planned(file)).toMatchObject({ storedType: "bf16", name: basename(folder) });
    await rm(join(folder, "model.safetensors"));
    expect((await planned(folder)).storedType).toBe("bf16");
  });

  it("says what is wrong with an id", async () => {
    await expect(planned("org/other")).rejects.toThrow(/org\/other: no such model, or the hub does not know the token/);
    await expect(planned("org/tiny", hub({ isOffline: true }))).rejects.toThrow(/HF_HUB_OFFLINE is set/);
    const closed = hub({ endpoint: "http://127.0.0.1:1" });
    await expect(planned("org/tiny", closed)).rejects.toThrow(
      /the hub cannot be reached.*; try again, or get the files/,
    );
    await expect(planned("no-such-model")).rejects.toThrow(
      /expected a directory, a \.gguf file, .*, a name on the hub/,
    );
  });

  it("a file that is no config", async () => {
    await writeFile(join(folder, "notes.txt"), "hello");
    await expect(planned(join(folder, "notes.txt"))).rejects.toThrow(/config\.json: expected JSON/);
  });

  it("goes on from the beginning of a file that it has read", async () => {
    const bytes = Uint8Array.from({ length: 700_000 }, (_, i) => i % 251);
    server.repos.set("org/gguf", { files: { "m-Q8_0.gguf": bytes } });
    const settings = { endpoint: server.endpoint, cacheDir: join(folder, "hub"), token: null, isOffline: false };
    const source = await openMetadataSource("org/gguf", { settings });
    server.seen.length = 0;
    for (const [start, end] of [
      [0, 100],
      [0, 300_000],
      [0, 700_000],
      [0, 5000],
      [400_000, 500_000],
    ] as const) {
      const read = await source.read("m-Q8_0.gguf", start, end);
      expect(Buffer.compare(read, bytes.subarray(start, end)), `${start} to ${end}`).toBe(0);
    }
    await source.close();
    const ranges = server.seen.flatMap(({ server: from, range }) => (from === "store" ? [range] : []));
    expect(ranges.slice(0, 3)).toEqual(["bytes=0-262143", "bytes=262144-299999", "bytes=300000-699999"]);
  });
});
