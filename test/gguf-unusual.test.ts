/** @file What GGUF files say in unusual ways, and mean as others do. */
import { describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { storedName } from "../src/formats/gguf/architecture.ts";
import { MIXTRAL } from "../src/formats/gguf/expert-architectures.ts";
import { MemorySource } from "../src/formats/memory-source.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { checkWeights } from "../src/models/check-weights.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { type GgufFile, type Written, type WrittenTensor, writeGguf } from "./support/gguf-file.ts";
import { byteTokenizer, configMetadata, splitFile, tensorsOf } from "./support/gguf-model.ts";
import { randomModel, sourceOf, tiny } from "./support/random-gguf.ts";

describe("what files say in unusual ways", () => {
  it("biases of q, k and v in a llama", async () => {
    const checkpoint = new RandomCheckpoint({ model_type: "qwen2", ...tiny }, "random");
    const metadata = [...configMetadata({ model_type: "llama", ...tiny } as never, "llama"), ...byteTokenizer];
    const read = await openCheckpoint(sourceOf({ metadata, tensors: await tensorsOf(checkpoint, "llama") }));
    expect(await read.config()).toMatchObject({ model_type: "qwen2" });
    for (const { name } of (await checkpoint.tensors()).values())
      expect(await read.read(name)).toEqual(await checkpoint.read(name));
  });

  it("biases of all products in a llama", async () => {
    const config = { model_type: "llama", ...tiny, attention_bias: true, mlp_bias: true };
    const checkpoint = new RandomCheckpoint(config, "random");
    const metadata = [...configMetadata(config as never, "llama"), ...byteTokenizer];
    const tensors = await tensorsOf(checkpoint, "llama");
    const read = await openCheckpoint(sourceOf({ metadata, tensors }));
    expect(await read.config()).toMatchObject({ model_type: "llama", attention_bias: true, mlp_bias: true });
    await checkWeights(read, parseModelConfig(await read.config(), "llama"));
    const some = tensors.filter(({ name }) => !name.endsWith("attn_output.bias"));
    await expect(openCheckpoint(sourceOf({ metadata, tensors: some }))).rejects.toThrow(
      /expected a bias of attn_output/,
    );
  });

  it("experts one by one, as files of before have them", async () => {
    const more = { num_local_experts: 2, num_experts_per_tok: 1 };
    const config = { model_type: "mixtral", ...tiny, ...more, sliding_window: null };
    const checkpoint = new RandomCheckpoint(config, "random");
    const metadata = [
      ...configMetadata(config as never, "llama"),
      ["llama.expert_count", { u32: 2 }] as [string, Written],
      ["llama.expert_used_count", { u32: 1 }] as [string, Written],
      ...byteTokenizer,
    ];
    const tensors: WrittenTensor[] = [];
    for (const { name, shape } of (await checkpoint.tensors()).values())
      tensors.push({ name: storedName(name, MIXTRAL), type: 30, shape, data: await checkpoint.read(name) });
    const read = await openCheckpoint(sourceOf({ metadata, tensors }));
    await checkWeights(read, parseModelConfig(await read.config(), "mixtral"));
    const name = "model.layers.1.block_sparse_moe.experts.1.w3.weight";
    expect(await read.read(name)).toEqual(await checkpoint.read(name));
    expect(read.nameInFile!(name)).toBe("blk.1.ffn_up.1.weight");
  });

  it("parts whose names end in capitals", async () => {
    const { checkpoint, file } = await randomModel("llama");
    const parts = [...splitFile(file, "m", 3)].map(
      ([name, part]) => [name.replace(".gguf", ".GGUF"), writeGguf(part)] as const,
    );
    const read = await openCheckpoint(new MemorySource(Object.fromEntries(parts), "dir"));
    expect((await read.tensors()).size).toBe((await checkpoint.tensors()).size);
  });

  it("q, k and v in one tensor", async () => {
    const { checkpoint, file } = await randomModel("llama");
    const isPart = ({ name }: { name: string }) => /^blk\.\d\.attn_[qkv]\./.test(name);
    const tensors = [0, 1].map((layer) => {
      const own = ["q", "k", "v"].map(
        (part) => file.tensors!.find(({ name }) => name === `blk.${layer}.attn_${part}.weight`)!,
      );
      const rows = own.reduce((sum, { shape }) => sum + Number(shape[0]), 0);
      const data = new Uint8Array(own.flatMap((tensor) => [...tensor.data]));
      return { ...own[0]!, name: `blk.${layer}.attn_qkv.weight`, shape: [rows, own[0]!.shape[1]!], data };
    });
    const others = file.tensors!.filter((tensor) => !isPart(tensor));
    const read = await openCheckpoint(sourceOf({ ...file, tensors: [...others, ...tensors] }));
    for (const { name } of (await checkpoint.tensors()).values())
      expect(await read.read(name), name).toEqual(await checkpoint.read(name));
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
    const scaling = (entries: Record<string, number>, type: string | null, more: GgufFile["tensors"] = []) => {
      const keys = Object.entries(entries).map(([key, f32]): [string, Written] => [
        `llama.rope.scaling.${key}`,
        { f32 },
      ]);
      const types: [string, Written][] = type === null ? [] : [["llama.rope.scaling.type", { string: type }]];
      const metadata = [...file.metadata, ...types, ...keys];
      return openCheckpoint(sourceOf({ metadata, tensors: [...file.tensors!, ...more] })).then((read) => read.config());
    };
    // A factor alone is one of linear scaling.
    expect(await scaling({ factor: 4 }, null)).toMatchObject({ rope_scaling: { rope_type: "linear", factor: 4 } });
    expect(await scaling({ factor: 4 }, "none")).not.toHaveProperty("rope_scaling");
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
