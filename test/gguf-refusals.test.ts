/** @file GGUF files that are no model we run are refused by name. */
import { describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { MemorySource } from "../src/formats/memory-source.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { LLM } from "../src/index.ts";
import { type GgufFile, type Written, writeGguf } from "./support/gguf-file.ts";
import { splitFile } from "./support/gguf-model.ts";
import { randomModel, sourceOf } from "./support/random-gguf.ts";

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
    ["no term of the norms", "llama.attention.layer_norm_rms_epsilon", null, /rms_epsilon: expected a number.*nothing/],
    ["a norm with a negative term", "llama.attention.layer_norm_rms_epsilon", { f32: -1 }, /rms_epsilon: .*got -1/],
    ["a scaling nobody has", "llama.rope.scaling.type", { string: "foo" }, /rope\.scaling\.type: .*got foo/],
    ["experts of which nobody says how many", "llama.expert_count", { u32: 8 }, /llama\.expert_used_count: .*nothing/],
    [
      "experts whose weights have a factor",
      "llama.expert_weights_scale",
      { f32: 2.5 },
      /expert_weights_scale: .*got 2.5/,
    ],
    ["experts chosen by sigmoid", "llama.expert_gating_func", { u32: 2 }, /expert_gating_func: expected 1.*got 2/],
    ["experts in groups", "llama.expert_group_count", { u32: 8 }, /expert_group_count: expected 1.*got 8/],
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
    expect(await added("blk.1.attn_norm.bias", 64)).toMatch(/blk\.1\.attn_norm\.bias: .*not computed with/);
    for (const name of ["output.bias", "blk.0.attn_q.scale", "blk.0.attn_sinks.weight", "token_embd_norm.weight"])
      expect(await added(name, 64)).toContain(
        `${name}: expected the tensors of llama, got a part that is not computed with`,
      );
    const granite = (await randomModel("granite")).file;
    const biases = ["q", "k", "v"].map((which) => vector(`blk.0.attn_${which}.bias`, which === "q" ? 64 : 32));
    // Biases that an architecture does not compute with are not left out in silence.
    expect(await refusal(sourceOf({ ...granite, tensors: [...granite.tensors!, ...biases] }))).toMatch(
      /blk\.0\.attn_q\.bias: expected the tensors of granite, got a part that is not computed with/,
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

  it("two models in one folder; what goes with one and lies beside it does not matter", async () => {
    const { file, checkpoint } = await randomModel("llama");
    const bytes = writeGguf(file);
    expect(await refusal(new MemorySource({ "a.gguf": bytes, "b.gguf": bytes }, "dir"))).toMatch(
      /dir: expected one model, got a\.gguf, b\.gguf; name one, such as dir\/a\.gguf/,
    );
    const encoder = writeGguf({ metadata: [["general.architecture", { string: "clip" }]] });
    const adapter = writeGguf(changed(file, "general.type", { string: "adapter" }));
    const matrix = writeGguf({ metadata: [["general.type", { string: "imatrix" }]] });
    const beside = { "a-mmproj.gguf": encoder, "a-lora.gguf": adapter, "a-imatrix.gguf": matrix };
    const read = await openCheckpoint(new MemorySource({ ...beside, "b.GGUF": bytes }, "dir"));
    expect(await read.read("model.norm.weight")).toEqual(await checkpoint.read("model.norm.weight"));
  });
});
