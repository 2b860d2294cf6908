/** @file Models in GGUF files: the same numbers, tokens and stops as from the checkpoint they were made of; wrong ones are refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
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
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { runCommand } from "./support/cli-io.ts";
import { type GgufFile, type Written, writeGguf } from "./support/gguf-file.ts";
import { byteTokenizer, configMetadata, folderAsGguf, splitFile, tensorsOf } from "./support/gguf-model.ts";

const MODEL = new URL("../models/qwen3-1m", import.meta.url).pathname;

const shippedModel = (): Promise<GgufFile> => folderAsGguf(MODEL);

const tiny = {
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 64,
  vocab_size: 40,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
};

async function randomModel(
  architecture: string,
  more: object = {},
): Promise<{ checkpoint: Checkpoint; file: GgufFile }> {
  const config = { model_type: architecture, ...tiny, ...more };
  const checkpoint = new RandomCheckpoint(config, "random");
  const metadata = [...configMetadata(config as never, architecture), ...byteTokenizer];
  return { checkpoint, file: { metadata, tensors: await tensorsOf(checkpoint, architecture) } };
}

const sourceOf = (file: GgufFile, name = "model.gguf") => new MemorySource({ [name]: writeGguf(file) }, "dir");

describe("the model that is shipped, as a GGUF file", () => {
  it("gives the same logits to the bit, the same tokens, chat and stops", async () => {
    await using own = await LLM.load(MODEL, { backend: "wasm", kv: "f16" });
    await using llm = await LLM.load(sourceOf(await shippedModel()), { backend: "wasm", kv: "f16" });
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
      runCommand(["run", "-m", ref, "-n", "12", "--temp", "0", "--backend", "wasm", "The lamp"]);
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
  });

  it("what metadata say of windows, caps and ropes, and what stands for itself", async () => {
    const tensors = [{ name: "output_norm.weight", type: 0, shape: [1], data: new Uint8Array(4) }];
    const read = async (architecture: string, entries: Record<string, Written>, layers = 2) => {
      const config = { ...tiny, ...more, num_hidden_layers: layers };
      const own = Object.entries(entries).map(([key, value]): [string, Written] => [`${architecture}.${key}`, value]);
      const metadata = [...configMetadata(config as never, architecture), ...own, ...byteTokenizer];
      return (await openCheckpoint(sourceOf({ metadata, tensors }))).config();
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
  };

  it.each(Object.entries(CONFIGS))("%s: config and tensors are those of its checkpoint", async (name, fields) => {
    const { checkpoint, file } = await randomModel(name, { rms_norm_eps: 2 ** -10, rope_theta: 10_000, ...fields });
    const read = await openCheckpoint(sourceOf(file));
    const [own, config] = [await checkpoint.config(), await read.config()].map((json) => parseModelConfig(json, name));
    const { traits, names, normEps, rope, slidingWindow, tieWordEmbeddings } = config!;
    expect({ traits, names, normEps, rope, tieWordEmbeddings, window: slidingWindow(0) }).toEqual({
      traits: own!.traits,
      names: own!.names,
      normEps: own!.normEps,
      rope: own!.rope,
      tieWordEmbeddings: own!.tieWordEmbeddings,
      window: own!.slidingWindow(0),
    });
    for (const { name: tensor } of (await checkpoint.tensors()).values())
      expect(await read.read(tensor), tensor).toEqual(await checkpoint.read(tensor));
    await checkWeights(read, config!);
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

describe("what files say in unusual ways", () => {
  it("biases of q, k and v in a llama", async () => {
    const checkpoint = new RandomCheckpoint({ model_type: "qwen2", ...tiny }, "random");
    const metadata = [...configMetadata({ model_type: "llama", ...tiny } as never, "llama"), ...byteTokenizer];
    const read = await openCheckpoint(sourceOf({ metadata, tensors: await tensorsOf(checkpoint, "llama") }));
    expect(await read.config()).toMatchObject({ model_type: "qwen2" });
    for (const { name } of (await checkpoint.tensors()).values())
      expect(await read.read(name)).toEqual(await checkpoint.read(name));
  });

  it("a whole file that is named as a part", async () => {
    const { file, checkpoint } = await randomModel("llama");
    for (const name of ["m-00001-of-00001.gguf", "m-00001-of-00002.gguf"]) {
      const read = await openCheckpoint(sourceOf(file, name));
      expect(await read.read("model.norm.weight")).toEqual(await checkpoint.read("model.norm.weight"));
    }
  });

  it("yarn with its own numbers; linear scaling beside divisors of the frequencies", async () => {
    const { file } = await randomModel("llama");
    const scaling = (entries: Record<string, number>, type: string, more: GgufFile["tensors"] = []) => {
      const keys = Object.entries(entries).map(([key, f32]): [string, Written] => [
        `llama.rope.scaling.${key}`,
        { f32 },
      ]);
      const metadata = [...file.metadata, ["llama.rope.scaling.type", { string: type }] as const, ...keys];
      return openCheckpoint(sourceOf({ metadata, tensors: [...file.tensors!, ...more] })).then((read) => read.config());
    };
    expect(await scaling({ factor: 4, yarn_beta_fast: 16, attn_factor: 0.5 }, "yarn")).toMatchObject({
      rope_scaling: {
        rope_type: "yarn",
        factor: 4,
        original_max_position_embeddings: 256,
        beta_fast: 16,
        beta_slow: 1,
        attention_factor: 0.5 * (0.1 * Math.log(4) + 1),
      },
    });
    const data = new Uint8Array(Float32Array.of(1, 1, 1, 1, 2, 2, 2, 2).buffer);
    const divisors = { name: "rope_freqs.weight", type: 0, shape: [8], data };
    expect(await scaling({ factor: 4 }, "linear", [divisors])).toMatchObject({
      rope_scaling: { rope_type: "divisors", divisors: [4, 4, 4, 4, 8, 8, 8, 8] },
    });
  });
});

describe("a file that is no model we run is refused by name", () => {
  const changed = (file: GgufFile, key: string, value: Written | null): GgufFile => {
    const rest = file.metadata.filter(([name]) => name !== key);
    return { ...file, metadata: value ? [...rest, [key, value]] : rest };
  };
  const refusal = async (source: MemorySource): Promise<string> => {
    const error = await LLM.load(source, { backend: "reference" }).then(
      () => null,
      (cause) => cause,
    );
    expect(error?.name).toBe("TurboQuantError");
    return error.message;
  };

  it.each<[string, string, Written | null, RegExp]>([
    ["an image encoder", "general.architecture", { string: "clip" }, /clip.*mmproj/],
    [
      "an architecture nobody has",
      "general.architecture",
      { string: "nonesuch" },
      /expected one of llama.*got nonesuch/,
    ],
    ["an adapter", "general.type", { string: "adapter" }, /got adapter.*base model/],
    ["no layers", "llama.block_count", null, /llama\.block_count: expected a whole number from 1/],
    ["no heads", "llama.attention.head_count", { u32: 0 }, /attention\.head_count: .*got 0/],
    [
      "another width",
      "llama.embedding_length",
      { u32: 96 },
      /token_embd\.weight: expected \[40,96\] by its metadata, got \[40,64\]/,
    ],
    ["an end of text beyond the vocabulary", "tokenizer.ggml.eos_token_id", { u32: 1e9 }, /eos_token_id.*1000000000/],
    ["a pre-tokenizer nobody has", "tokenizer.ggml.pre", { string: "gargoyle-7" }, /tokenizer\.ggml\.pre.*gargoyle-7/],
    ["another kind of tokenizer", "tokenizer.ggml.model", { string: "rwkv" }, /tokenizer\.ggml\.model.*rwkv/],
    ["a vocabulary without tokens", "tokenizer.ggml.tokens", null, /tokenizer\.ggml\.tokens: expected a list/],
    ["layers of different widths", "llama.feed_forward_length", { i32s: [64, 32] }, /feed_forward_length.*64 and 32/],
    [
      "heads of more layers than there are",
      "llama.attention.head_count",
      { i32s: [4, 4, 4] },
      /head_count: .*2 layers/,
    ],
    [
      "heads that do not divide the width",
      "llama.attention.head_count",
      { u32: 3 },
      /head_count: .*divisor.*64.*got 3/,
    ],
    ["KV heads that do not divide the heads", "llama.attention.head_count_kv", { u32: 3 }, /head_count_kv: .*divisor/],
    ["layers beyond all bounds", "llama.block_count", { u32: 4e9 }, /llama\.block_count: .*1 to 1024, got 4000000000/],
    ["fewer layers than tensors", "llama.block_count", { u32: 1 }, /blk\.1\..*llama\.block_count \(1\)/],
    ["a number as text", "llama.context_length", { string: "256" }, /llama\.context_length: expected a whole number/],
    ["a number beyond 2^53", "llama.context_length", { u64: 2n ** 60n }, /context_length: .*got 1152921504606846976/],
    ["no base of frequencies", "llama.rope.freq_base", { f32: 0 }, /llama\.rope\.freq_base: .*got 0/],
    ["a norm with a negative term", "llama.attention.layer_norm_rms_epsilon", { f32: -1 }, /rms_epsilon: .*got -1/],
    ["a scaling nobody has", "llama.rope.scaling.type", { string: "foo" }, /rope\.scaling\.type: .*got foo/],
    ["experts", "llama.expert_count", { u32: 8 }, /llama\.expert_count: .*got 8/],
    ["attention in both directions", "llama.attention.causal", { bool: false }, /attention\.causal: .*got false/],
    ["a merge of one token", "tokenizer.ggml.merges", { strings: ["ab"] }, /merges: .*"ab"/],
  ])("%s", async (_, key, value, message) => {
    const { file } = await randomModel("llama");
    expect(await refusal(sourceOf(changed(file, key, value)))).toMatch(message);
  });

  it("a tensor that is missing, by its name in the file; no tensors at all", async () => {
    const { file } = await randomModel("llama");
    const tensors = file.tensors!.filter(({ name }) => name !== "blk.1.ffn_up.weight");
    expect(await refusal(sourceOf({ ...file, tensors }))).toMatch(/blk\.1\.ffn_up\.weight is missing/);
    expect(await refusal(sourceOf({ ...file, tensors: [] }))).toMatch(/without tensors/);
  });

  it("a tensor that is not computed with, more tokens than rows, NaN: by their names in the file", async () => {
    const { file } = await randomModel("llama");
    const vector = (name: string, length: number, value = 1) => ({
      name,
      type: 0,
      shape: [length],
      data: new Uint8Array(new Float32Array(length).fill(value).buffer),
    });
    const added = (name: string, length: number, value?: number) =>
      refusal(sourceOf({ ...file, tensors: [...file.tensors!, vector(name, length, value)] }));
    expect(await added("blk.0.attn_q_norm.weight", 16)).toMatch(/blk\.0\.attn_q_norm\.weight: .*not computed with/);
    expect(await added("blk.1.attn_output.bias", 64)).toMatch(/blk\.1\.attn_output\.bias: .*not computed with/);
    for (const name of ["output.bias", "blk.0.attn_q.scale", "blk.0.attn_sinks.weight", "token_embd_norm.weight"])
      expect(await added(name, 64)).toContain(
        `${name}: expected the tensors of llama, got a part that is not computed with`,
      );
    // Biases of some of the three, or of some layers, are of no model that is known.
    expect(await added("blk.0.attn_q.bias", 64)).toMatch(/blk\.0\.attn_k\.bias is missing/);
    expect(await added("rope_freqs.weight", 8, 0)).toMatch(/rope_freqs\.weight: expected positive/);
    const tokens = { strings: Array.from({ length: 41 }, (_, i) => `t${i}`) };
    const many = changed(changed(file, "tokenizer.ggml.tokens", tokens), "tokenizer.ggml.token_type", null);
    expect(await refusal(sourceOf(many))).toMatch(/tokenizer\.ggml\.tokens: .*40 tokens that token_embd\.weight/);
    const rest = file.tensors!.filter(({ name }) => name !== "output_norm.weight");
    const damaged = { ...file, tensors: [...rest, vector("output_norm.weight", 64, Number.NaN)] };
    expect(await refusal(sourceOf(damaged))).toMatch(/output_norm\.weight: value 0 is not finite/);
  });

  it("parts that are not there or not of this model", async () => {
    const { file } = await randomModel("llama");
    const parts = [...splitFile(file, "m", 3)].map(([name, part]) => [name, writeGguf(part)] as const);
    const load = (entries: readonly (readonly [string, Uint8Array])[]) =>
      refusal(new MemorySource(Object.fromEntries(entries), "dir"));
    expect(await load(parts.slice(0, 2))).toMatch(/m-00003-of-00003\.gguf is missing/);
    expect(await load([parts[0]!, parts[1]!, [parts[2]![0], parts[1]![1]]])).toMatch(/expected part 2 of 3.*got 1/);
    const counted = splitFile({ ...file, metadata: [...file.metadata, ["split.tensors.count", { u32: 99 }]] }, "m", 3);
    expect(await load([...counted].map(([name, part]) => [name, writeGguf(part)]))).toMatch(
      /split\.tensors\.count: expected 99 tensors/,
    );
    expect(await load([["other-00001-of-00002.gguf", parts[0]![1]]])).toMatch(/split\.count is 3, its name says 2/);
  });

  it("two models in one folder; an image encoder beside one does not matter", async () => {
    const { file, checkpoint } = await randomModel("llama");
    const bytes = writeGguf(file);
    expect(await refusal(new MemorySource({ "a.gguf": bytes, "b.gguf": bytes }, "dir"))).toMatch(
      /got a\.gguf, b\.gguf; name the file/,
    );
    const encoder = writeGguf({ metadata: [["general.architecture", { string: "clip" }]] });
    const read = await openCheckpoint(new MemorySource({ "a-mmproj.gguf": encoder, "b.gguf": bytes }, "dir"));
    expect(await read.read("model.norm.weight")).toEqual(await checkpoint.read("model.norm.weight"));
  });
});
describe("over HTTP", () => {
  /** Answers ranges, and lists its folder where `lists`. */
  async function serve(files: Record<string, Uint8Array>, lists: boolean) {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      const path = decodeURIComponent(request.url!.split("?")[0]!);
      asked.push(request.url!);
      const file = files[path.replace("/m/", "")];
      if (path === "/m/" && lists) {
        const links = Object.keys(files).map((name) => `<a href="${name}">`);
        response.setHeader("Content-Type", "text/html").end(links.join(""));
      } else if (file) {
        const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range!)!.map(Number) as [number, number, number];
        const end = Math.min(to + 1, file.length);
        response.setHeader("Content-Range", `bytes ${from}-${end - 1}/${file.length}`);
        response.writeHead(206).end(file.subarray(from, end));
      } else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    return { url: `http://127.0.0.1:${port}/m/`, asked };
  }
  const load = (ref: string) => LLM.load(ref, { backend: "reference" });

  it("a file by its address, with what follows it; parts beside it; the one file of a folder that is listed", async () => {
    const { file } = await randomModel("llama");
    const parts = [...splitFile(file, "p", 2)].map(([name, part]) => [name, writeGguf(part)] as const);
    const { url, asked } = await serve({ "my file.gguf": writeGguf(file), ...Object.fromEntries(parts) }, false);
    await using one = await load(`${url}my%20file.gguf?key=1`);
    expect(one.name).toBe("Written Here");
    expect(new Set(asked)).toEqual(
      new Set([
        "/m/my%20file.gguf?key=1",
        "/m/my%20file.kv_calibration.safetensors?key=1",
        "/m/kv_calibration.safetensors?key=1",
      ]),
    );
    await using other = await load(`${url}p-00001-of-00002.gguf`);
    expect(other.weightsFingerprint).toBe(one.weightsFingerprint);
    await expect(load(`${url}none.gguf`)).rejects.toThrow(/m\/none\.gguf: not found \(HTTP 404\); check the URL/);
    await expect(load(url)).rejects.toThrow(
      /m\/config\.json: not found \(HTTP 404\); check the URL, which for a GGUF model is that of its file/,
    );
    const listed = await serve({ "a.gguf": writeGguf(file) }, true);
    await using third = await load(listed.url);
    expect(third.weightsFingerprint).toBe(one.weightsFingerprint);
    const two = await serve({ "a.gguf": writeGguf(file), "b.gguf": writeGguf(file) }, true);
    await expect(load(two.url)).rejects.toThrow(/expected one model, got a\.gguf, b\.gguf; name the file/);
  });
});
