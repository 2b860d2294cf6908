/** @file Models in GGUF files: the same numbers, tokens and stops as from the checkpoint they were made of. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import "../src/node/install.ts";
import type { Checkpoint } from "../src/formats/checkpoint.ts";
import { MemorySource } from "../src/formats/memory-source.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { LLM } from "../src/index.ts";
import { checkWeights } from "../src/models/check-weights.ts";
import { parseModelConfig } from "../src/models/config.ts";
import type { ModelConfig } from "../src/models/model-config.ts";
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { runCommand } from "./support/cli-io.ts";
import { type GgufFile, type Written, writeGguf } from "./support/gguf-file.ts";
import { byteTokenizer, configMetadata, folderAsGguf, splitFile, tensorsOf } from "./support/gguf-model.ts";
import { randomModel, sourceOf, tiny } from "./support/random-gguf.ts";

const MODEL = new URL("../models/qwen3-1m", import.meta.url).pathname;

const shippedModel = (): Promise<GgufFile> => folderAsGguf(MODEL);

describe("the model that is shipped, as a GGUF file", () => {
  it("gives the same logits to the bit, the same tokens, chat and stops", async () => {
    await using own = await LLM.load(MODEL, { backend: "wasm", threads: 1, kv: "f16" });
    await using llm = await LLM.load(sourceOf(await shippedModel()), { backend: "wasm", threads: 1, kv: "f16" });
    expect(llm.config).toMatchObject({
      modelType: "qwen3",
      numLayers: own.config.numLayers,
      vocabSize: own.config.vocabSize,
    });
    expect([...llm.eosTokens]).toEqual(expect.arrayContaining([...own.eosTokens]));
    const texts: { text: string; ids: number[] }[] = JSON.parse(
      readFileSync(new URL("./fixtures/tokenizer/qwen3-3m.json", import.meta.url), "utf8"),
    );
    // The qwen2 pre-tokenizer composes characters, which the shipped tokenizer leaves alone.
    for (const { text } of texts.filter((one) => one.text === one.text.normalize("NFC")))
      expect(llm.tokenizer.encode(text)).toEqual(own.tokenizer.encode(text));
    const messages = [{ role: "user" as const, content: "Where is the lamp?" }];
    const prompt = await llm.tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true });
    expect(prompt).toBe(await own.tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true }));
    const logits = async (model: LLM) =>
      Array.from(await model.runner.prefill(model.cache.createSequence(), own.tokenizer.encode(prompt)));
    expect(await logits(llm)).toEqual(await logits(own));
  });

  it("runs from the command line by the file's name, also in parts; its plan and its description are those of its tensors", async () => {
    const folder = mkdtempSync(join(tmpdir(), "turboquant-gguf-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const model = await shippedModel();
    const file = join(folder, "model.gguf");
    writeFileSync(file, writeGguf(model));
    const parts = splitFile(model, "parts", 3);
    for (const [name, part] of parts) writeFileSync(join(folder, name), writeGguf(part));
    const run = (ref: string) =>
      runCommand(["run", "-m", ref, "-n", "12", "-t", "1", "--temp", "0", "--backend", "wasm", "The lamp"]);
    const own = await run(MODEL);
    expect(own.code).toBe(0);
    for (const name of ["model.gguf", ...parts.keys()]) {
      const { code, out } = await run(join(folder, name));
      expect([name, code, out]).toEqual([name, 0, own.out]);
    }
    const json = async (...args: string[]) => JSON.parse((await runCommand([...args, "--json"])).out);
    const [plan, ownPlan] = [
      await json("plan", "-m", file, "--memory", "1GB"),
      await json("plan", "-m", MODEL, "--memory", "1GB"),
    ];
    expect(plan.weights.bytes).toBeGreaterThan(0);
    expect(plan.weights).toEqual(ownPlan.weights);
    const [{ model: read }, { model: stored }] = [await json("inspect", file), await json("inspect", MODEL)];
    expect(read).toMatchObject({
      parameters: stored.parameters,
      tensors: stored.tensors,
      weightBytes: stored.weightBytes,
      dtypes: ["bf16"],
    });
  });
});

describe("the rows of q and k", () => {
  it.each(["llama", "qwen2", "qwen3"])(
    "%s: every tensor is what it was before it was converted",
    async (architecture) => {
      const { checkpoint, file } = await randomModel(architecture, architecture === "qwen3" ? { head_dim: 16 } : {});
      const read = await openCheckpoint(sourceOf(file));
      const tensors = await checkpoint.tensors();
      expect([...(await read.tensors()).keys()].sort()).toEqual([...tensors.keys()].sort());
      for (const { name, shape } of tensors.values()) {
        expect((await read.tensors()).get(name)).toMatchObject({ name, shape });
        expect(await read.read(name)).toEqual(await checkpoint.read(name));
        expect(await read.read(name, 2, 6)).toEqual(await checkpoint.read(name, 2, 6));
      }
    },
  );

  it("of a source that gives views of its own memory: it stays as it is, and is read again alike", async () => {
    const { checkpoint, file } = await randomModel("llama");
    const [name, stored] = ["model.layers.0.self_attn.q_proj.weight", writeGguf(file)];
    const own = stored.slice();
    const kept = new MemorySource({ "model.gguf": own }, "dir");
    kept.read = async (_, start, end) => own.subarray(start, end);
    const expected = await checkpoint.read(name);
    const into = new Uint8Array(expected.length);
    for (const options of [{}, { into }, {}])
      expect(await (await openCheckpoint(kept)).read(name, 0, expected.length, options)).toEqual(expected);
    expect(own).toEqual(stored);
  });
});

describe("gemma", () => {
  const more = { head_dim: 16, norm_offset: 0 };
  it("every tensor has its name, and norms are taken as they are stored", async () => {
    const config = { model_type: "gemma3_text", ...tiny, ...more };
    const checkpoint = new RandomCheckpoint(config, "random");
    const metadata = [...configMetadata(config as never, "gemma3"), ...byteTokenizer];
    const read = await openCheckpoint(sourceOf({ metadata, tensors: await tensorsOf(checkpoint, "gemma3") }));
    expect(await read.config()).toMatchObject({ model_type: "gemma3_text", ...more });
    const names = [...(await checkpoint.tensors()).keys()];
    expect([...(await read.tensors()).keys()].sort()).toEqual(names.sort());
    for (const name of names) expect(await read.read(name)).toEqual(await checkpoint.read(name));
    const image = { name: "v.patch_embedding.weight", type: 0, shape: [1], data: new Uint8Array(4) };
    const tensors = [...(await tensorsOf(checkpoint, "gemma3")), image];
    const withImages = await openCheckpoint(sourceOf({ metadata, tensors }));
    expect(parseModelConfig(await withImages.config(), "gemma3")).toMatchObject({
      modelType: "gemma3_text",
      isTextPart: true,
    });
    expect((await withImages.tensors()).size).toBe(names.length);
  });

  it("what metadata say of windows, caps and ropes, and what stands for itself", async () => {
    const tensors = [{ name: "output_norm.weight", type: 0, shape: [1], data: new Uint8Array(4) }];
    const read = async (architecture: string, entries: Record<string, Written>, layers = 2, without: string[] = []) => {
      const config = { ...tiny, ...more, num_hidden_layers: layers };
      const own = Object.entries(entries).map(([key, value]): [string, Written] => [`${architecture}.${key}`, value]);
      const known = configMetadata(config as never, architecture).filter(([key]) => !without.includes(key));
      return (await openCheckpoint(sourceOf({ metadata: [...known, ...own, ...byteTokenizer], tensors }))).config();
    };
    const window = { "attention.sliding_window": { u32: 24 } };
    expect(await read("gemma2", { ...window, attn_logit_softcapping: { f32: 8 } })).toMatchObject({
      sliding_window: 24,
      attn_logit_softcapping: 8,
      final_logit_softcapping: 30,
      query_pre_attn_scalar: 16,
    });
    expect(await read("gemma3", window)).toMatchObject({ rope_local_base_freq: 1e4, query_pre_attn_scalar: 16 });
    expect(await read("gemma3", {})).toMatchObject({ sliding_window: null });
    const ofOllama = { "rope.global.freq_base": { f32: 5e5 }, "rope.local.freq_base": { f32: 2e4 } };
    expect(await read("gemma3", ofOllama, 2, ["gemma3.rope.freq_base"])).toMatchObject({
      rope_theta: 5e5,
      rope_local_base_freq: 2e4,
    });
    // Models of 27 billion parameters have the width of a head in hidden_size / heads for it.
    expect(await read("gemma3", window, 62)).toMatchObject({ query_pre_attn_scalar: 64 / 4 });
    await expect(read("gemma3", { attn_logit_softcapping: { f32: 8 } })).rejects.toThrow(/attn_logit_softcapping/);
  });
});

describe("architectures", () => {
  /** By architecture, the fields that its files carry. */
  const CONFIGS: Readonly<Record<string, object>> = {
    phi3: { partial_rotary_factor: 0.75, sliding_window: 24 },
    granite: { embedding_multiplier: 3, residual_multiplier: 0.5, attention_multiplier: 0.125, logits_scaling: 2 },
    smollm3: {},
    olmo2: {},
    glm4: { head_dim: 16, partial_rotary_factor: 0.5 },
    ernie4_5: { head_dim: 16 },
    seed_oss: { head_dim: 16 },
    cohere2: { sliding_window: 24, layer_norm_eps: 2 ** -10, logit_scale: 0.25 },
    starcoder2: { sliding_window: 24, norm_epsilon: 2 ** -10 },
    exaone4: { sliding_window: 24 },
    arcee: {},
  };
  /** Families whose files have another name: the architecture, fields of the config, and keys that these become. */
  const yarn = { factor: 16, original_max_position_embeddings: 64, beta_fast: 16, beta_slow: 2 };
  const OTHERS: readonly (readonly [string, string, object, Readonly<Record<string, Written>>])[] = [
    ["olmo3", "olmo2", { sliding_window: 24 }, {}],
    ["hunyuan_v1_dense", "hunyuan-dense", { head_dim: 16 }, {}],
    ["phi", "phi2", { layer_norm_eps: 2 ** -10, partial_rotary_factor: 0.5 }, {}],
    [
      "ministral3",
      "mistral3",
      {
        head_dim: 16,
        rope_theta: 10_000,
        rope_scaling: { rope_type: "yarn", ...yarn, mscale: 1, mscale_all_dim: 1, llama_4_scaling_beta: 0.125 },
      },
      {
        "rope.scaling.type": { string: "yarn" },
        "rope.scaling.factor": { f32: yarn.factor },
        "rope.scaling.original_context_length": { u32: yarn.original_max_position_embeddings },
        "rope.scaling.yarn_beta_fast": { f32: yarn.beta_fast },
        "rope.scaling.yarn_beta_slow": { f32: yarn.beta_slow },
        "rope.scaling.yarn_log_multiplier": { f32: 1 },
        "attention.temperature_scale": { f32: 0.125 },
      },
    ],
    ["mistral", "mistral3", { head_dim: 16, sliding_window: null }, {}],
    ["glm", "chatglm", { head_dim: 16, partial_rotary_factor: 0.5 }, {}],
    ["llama", "baichuan", {}, {}],
    ["llama", "exaone", {}, {}],
    ["llama", "pangu-embedded", { attention_bias: true }, {}],
    // The width of gate and up together.
    ["qwen2", "qwen", { num_key_value_heads: 4 }, { feed_forward_length: { u32: 2 * tiny.intermediate_size } }],
    ["stablelm", "orion", { layer_norm_eps: 2 ** -10, partial_rotary_factor: 1 }, {}],
    [
      "lfm2",
      "lfm2",
      {
        ...{ layer_types: ["conv", "full_attention", "conv", "conv"], conv_L_cache: 3, norm_eps: 2 ** -10 },
        ...{ block_auto_adjust_ff_dim: false, tie_word_embeddings: true },
      },
      { "attention.head_count_kv": { i32s: [0, 2, 0, 0] }, "shortconv.l_cache": { u32: 3 } },
    ],
  ];

  it.each(OTHERS)("%s in a file of %s", async (modelType, architecture, fields, keys) => {
    const config = { model_type: modelType, ...tiny, rms_norm_eps: 2 ** -10, rope_theta: 10_000, ...fields };
    const tied = { tie_word_embeddings: false, ...config, num_hidden_layers: 4 };
    const checkpoint = new RandomCheckpoint(tied, "random");
    const more = Object.entries(keys).map(([key, value]): [string, Written] => [`${architecture}.${key}`, value]);
    const own = new Set(more.map(([key]) => key));
    const known = configMetadata(tied as never, architecture).filter(([key]) => !own.has(key));
    const metadata = [...known, ...more, ...byteTokenizer];
    const file = { metadata, tensors: await tensorsOf(checkpoint, architecture) };
    await expectSame(await openCheckpoint(sourceOf(file)), checkpoint, modelType);
  });

  it.each(Object.entries(CONFIGS))("%s: config and tensors are those of its checkpoint", async (name, fields) => {
    const { checkpoint, file } = await randomModel(name, { rms_norm_eps: 2 ** -10, rope_theta: 10_000, ...fields });
    await expectSame(await openCheckpoint(sourceOf(file)), checkpoint, name);
  });

  /** The file is the model that it was made of. */
  async function expectSame(read: Checkpoint, checkpoint: Checkpoint, name: string): Promise<void> {
    const [own, config] = [await checkpoint.config(), await read.config()].map((json) => parseModelConfig(json, name));
    const compared = (of: ModelConfig) => {
      const { modelType, traits, names, normEps, rope, slidingWindow, tieWordEmbeddings, maxPositionEmbeddings } = of;
      const layers = Array.from({ length: of.numLayers }, (_, layer) => [slidingWindow(layer), of.ropeOf(layer)]);
      return { modelType, traits, names, normEps, rope, tieWordEmbeddings, maxPositionEmbeddings, layers };
    };
    expect(compared(config!)).toEqual(compared(own!));
    for (const { name: tensor } of (await checkpoint.tensors()).values())
      expect(await read.read(tensor), tensor).toEqual(await checkpoint.read(tensor));
    await checkWeights(read, config!);
  }

  it("norms of single heads are in one tensor", async () => {
    const norms = { layer_norm_eps: 2 ** -10, partial_rotary_factor: 0.5, qk_layernorm: true };
    const config = { model_type: "stablelm", ...tiny, ...norms, use_parallel_residual: true, rope_theta: 10_000 };
    const checkpoint = new RandomCheckpoint(config, "random");
    const ofHeads = /^model\.layers\.(\d+)\.self_attn\.([qk])_layernorm\.norms\.\d+\.weight$/;
    const all = await checkpoint.tensors();
    const others = {
      config: () => checkpoint.config(),
      tensors: async () => new Map([...all].filter(([name]) => !ofHeads.test(name))),
      read: (name: string) => checkpoint.read(name),
    };
    const stacks = new Map<string, { type: number; bytes: number[]; count: number; headDim: number }>();
    for (const { name, dtype, shape } of all.values()) {
      const [, layer, part] = ofHeads.exec(name) ?? [];
      if (layer === undefined) continue;
      const stored = `blk.${layer}.attn_${part}_norm.weight`;
      const type = { f32: 0, f16: 1, bf16: 30 }[dtype as string]!;
      const stack = stacks.get(stored) ?? { type, bytes: [], count: 0, headDim: shape[0]! };
      stack.bytes.push(...(await checkpoint.read(name)));
      stacks.set(stored, { ...stack, count: stack.count + 1 });
    }
    const norm = [...stacks].map(([name, { type, bytes, count, headDim }]) => ({
      ...{ name, type, shape: [count, headDim], data: Uint8Array.from(bytes) },
    }));
    const tensors = [...(await tensorsOf(others, "stablelm")), ...norm];
    const metadata = [...configMetadata(config as never, "stablelm"), ...byteTokenizer];
    await expectSame(await openCheckpoint(sourceOf({ metadata, tensors })), checkpoint, "stablelm");
  });

  it("LongRoPE is in tensors of its own", async () => {
    const { file } = await randomModel("phi3");
    const factors = (name: string, values: number[]) => ({
      ...{ name: `rope_factors_${name}.weight`, type: 0, shape: [values.length] },
      data: new Uint8Array(Float32Array.from(values).buffer),
    });
    const list = Array.from({ length: 8 }, (_, i) => 1 + i / 4);
    const tensors = [
      ...(file.tensors ?? []),
      factors("short", list),
      factors(
        "long",
        list.map((value) => 4 * value),
      ),
    ];
    const keys: [string, Written][] = [
      ["phi3.rope.scaling.original_context_length", { u32: 64 }],
      ["phi3.rope.scaling.attn_factor", { f32: 1.25 }],
    ];
    const read = await openCheckpoint(sourceOf({ metadata: [...file.metadata, ...keys], tensors }));
    expect(parseModelConfig(await read.config(), "phi3").rope).toEqual({
      ...{ type: "longrope", theta: 10_000, originalMaxPosition: 64, attentionFactor: 1.25 },
      ...{ shortFactor: list, longFactor: list.map((value) => 4 * value) },
    });
    expect((await read.tensors()).has("rope_factors_long.weight")).toBe(false);
  });

  it("names a tensor that is missing as the file calls it", async () => {
    const { file } = await randomModel("seed_oss", { head_dim: 16 });
    const read = await openCheckpoint(sourceOf(file));
    await read.tensors();
    expect(read.nameInFile!("model.layers.1.post_attention_layernorm.weight")).toBe("blk.1.post_attention_norm.weight");
  });
});
