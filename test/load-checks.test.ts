/** @file What loading says of a checkpoint: weights that do not fit their config, and how far it has come. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { TurboQuantError } from "../src/errors.ts";
import type { Checkpoint } from "../src/formats/checkpoint.ts";
import { MemorySource } from "../src/formats/memory-source.ts";
import { LLM } from "../src/index.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { Decoder } from "../src/models/decoder.ts";
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import { checkpointPath } from "./support/shared.ts";

const MODEL = checkpointPath("qwen3-1m")!;

/** The embedded checkpoint with other fields in its config.json. */
async function withConfig(changes: Readonly<Record<string, unknown>>): Promise<MemorySource> {
  const files: Record<string, Uint8Array | string> = {};
  for (const file of await readdir(MODEL)) files[file] = await readFile(join(MODEL, file));
  const config = JSON.parse(await readFile(join(MODEL, "config.json"), "utf8"));
  files["config.json"] = JSON.stringify({ ...config, ...changes });
  return new MemorySource(files, "edited");
}

describe("weights against the config", () => {
  // The embedded model: 128 hidden, 4 heads and 2 KV heads of 64, feed-forward of 384, 4,096 tokens.
  it.each([
    ["fewer KV heads in the weights", { num_key_value_heads: 4 }, "self_attn.k_proj.weight", "[256,128]", "[128,128]"],
    ["more KV heads in the weights", { num_key_value_heads: 1 }, "self_attn.k_proj.weight", "[64,128]", "[128,128]"],
    ["a smaller feed-forward", { intermediate_size: 416 }, "mlp.gate_proj.weight", "[416,128]", "[384,128]"],
    ["a smaller vocabulary", { vocab_size: 4128 }, "model.embed_tokens.weight", "[4128,128]", "[4096,128]"],
    ["a wider residual stream", { hidden_size: 64 }, "model.embed_tokens.weight", "[4096,64]", "[4096,128]"],
    ["another head_dim", { head_dim: 32 }, "self_attn.q_proj.weight", "[128,128]", "[256,128]"],
  ])("%s: one error with tensor, expected and found shape", async (_, changes, tensor, expected, found) => {
    const read: string[] = [];
    const loading = LLM.load(await withConfig(changes), {
      backend: "wasm",
      threads: 1,
      onProgress: ({ item }) => read.push(item),
    });
    const error = await loading.then(
      () => null,
      (e: unknown) => e as Error & { code: string },
    );
    expect(error).toMatchObject({ code: "invalid_file" });
    expect(error!.message).toContain(tensor);
    expect(error!.message).toContain(`expected ${expected} by its config.json, got ${found}`);
    expect(read, "no weight was read").toEqual([]);
  });

  it("a layer that the file does not have", async () => {
    await expect(
      LLM.load(await withConfig({ num_hidden_layers: 5, layer_types: undefined }), { backend: "wasm" }),
    ).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringContaining("model.layers.4.input_layernorm.weight is missing"),
    });
  });

  it("a head of its own that the file does not have", async () => {
    await expect(LLM.load(await withConfig({ tie_word_embeddings: false }), { backend: "wasm" })).rejects.toMatchObject(
      {
        code: "invalid_file",
        message: expect.stringContaining("lm_head.weight is missing"),
      },
    );
  });
});

describe.each([
  ["files of a network", false],
  ["local files, whose bytes lie in memory of the backend", true],
])("what ends loading of %s", (_, isLocal) => {
  const config = {
    model_type: "qwen3",
    hidden_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 32,
    intermediate_size: 96,
    vocab_size: 1024,
    max_position_embeddings: 64,
    tie_word_embeddings: false,
  };
  const LATE = "model.layers.1.mlp.up_proj.weight";

  /** Loads a random checkpoint whose `LATE` tensor is read as the test says. */
  async function load(read: (whole: Promise<Uint8Array>, abort: AbortController) => Promise<Uint8Array>) {
    const ops = await createWasmBackend({ threads: isLocal ? 2 : 1 });
    // What the loader keeps for itself is there before.
    ops.freeWeight(
      ops.loadWeight([{ dtype: "bf16", rows: 1024, cols: 96, data: new Uint8Array(1024 * 96 * 2) }], "q8"),
    );
    const before = ops.usedBytes;
    const abort = new AbortController();
    const checkpoint = Object.assign(new RandomCheckpoint(config, "random"), { isLocal });
    const drawn = checkpoint.read.bind(checkpoint);
    const own: Checkpoint["read"] = async (name, start, end, options) => {
      const bytes = await drawn(name, start, end);
      if (!options?.into) return bytes;
      options.into.set(bytes);
      isRead = true;
      return options.into.subarray(0, bytes.length);
    };
    let isRead = false;
    const placed: Checkpoint["read"] = (name, ...range) =>
      name === LATE ? read(own(name, ...range), abort) : own(name, ...range);
    const loading = Decoder.load(ops, Object.assign(checkpoint, { read: placed }), {
      config: parseModelConfig(config, "config.json"),
      kv: parseKvSpec("f16"),
      weights: "q8",
      signal: abort.signal,
    });
    const error = await loading.then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(ops.usedBytes, "all memory is given back").toBe(before);
    expect(isRead, "the embedding was read where it is converted").toBe(isLocal);
    await ops.dispose();
    return error;
  }

  it("a read error is the one error", async () => {
    expect(await load(() => Promise.reject(new TurboQuantError("invalid_file", "torn")))).toMatchObject({
      message: "torn",
    });
  });

  it("fewer bytes than there must be", async () => {
    expect(await load(async (whole) => (await whole).subarray(1))).toMatchObject({ code: "invalid_argument" });
  });

  it("an abort, by its reason", async () => {
    const reason = new Error("enough");
    const ended = await load((whole, abort) => {
      abort.abort(reason);
      return whole;
    });
    expect(ended).toBe(reason);
  });
});

describe("an abort while a model is loaded", () => {
  it.each([0, 20, 45])("at event %i: the signal's reason, and the backend is gone", async (at) => {
    const ops = await createWasmBackend({ threads: 2 });
    const abort = new AbortController();
    const reason = new Error("enough");
    let [events, disposed] = [0, false];
    const dispose = ops.dispose.bind(ops);
    ops.dispose = async () => {
      await dispose();
      disposed = true;
    };
    const loading = LLM.load(await withConfig({}), {
      backend: ops,
      signal: abort.signal,
      onProgress: () => events++ === at && abort.abort(reason),
    });
    await expect(loading).rejects.toBe(reason);
    expect(events).toBe(at + 1);
    expect(disposed).toBe(true);
  });
});

describe("load progress", () => {
  const tiny = (modelType: string, tied: boolean) => ({
    model_type: modelType,
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 16,
    intermediate_size: 64,
    vocab_size: 64,
    max_position_embeddings: 64,
    tie_word_embeddings: tied,
  });

  it.each([
    ["llama", true],
    ["llama", false],
    ["qwen2", true],
    ["qwen3", false],
    ["mistral", true],
  ] as const)("%s, tied head %s: bytes grow piece by piece to their total and end there", async (modelType, tied) => {
    const ops = await createReferenceBackend();
    const events: [number, number][] = [];
    const checkpoint = new RandomCheckpoint(tiny(modelType, tied), "tiny");
    const config = parseModelConfig(await checkpoint.config(), "config.json");
    const decoder = await Decoder.load(ops, checkpoint, {
      config,
      kv: parseKvSpec("f16"),
      weights: "auto",
      onBytes: (_, done, total) => events.push([done, total]),
    });
    const total = [...(await checkpoint.tensors()).values()].reduce((sum, { numBytes }) => sum + numBytes, 0);
    expect(events.at(-1)).toEqual([total, total]);
    expect(events.every(([done], i) => done > (events[i - 1]?.[0] ?? 0))).toBe(true);
    decoder.dispose();
    await ops.dispose();
  });

  it("of the default model by its events", async () => {
    const events: { item: string; done: number; total: number }[] = [];
    const llm = await LLM.load(MODEL, {
      backend: "wasm",
      threads: 1,
      onProgress: ({ phase, item, done, total }) => phase === "load" && events.push({ item, done, total }),
    });
    await llm.dispose();
    // The bytes of the file without its header; of each of 4 layers eleven tensors, and embedding and final norm.
    expect(events.at(-1)).toMatchObject({ item: "model.norm.weight", done: events[0]!.total });
    expect(events).toHaveLength(4 * 11 + 2);
  });
});

it.each([[undefined], [null], [""], [3], [{}]])("a model that is %j is refused with what is expected", async (ref) => {
  await expect(LLM.load(ref as never)).rejects.toMatchObject({
    code: "invalid_argument",
    message: expect.stringMatching(
      /^load: expected a model's name, folder or address, .*pass one, such as "qwen3-3m"$/,
    ),
  });
});
