import { expect, it } from "vitest";
import { seededModel } from "../../../test/support/seeded-checkpoint.ts";
import { parseModelConfig } from "../../models/config.ts";
import { calibratedLayers } from "./calibrated-layers.ts";

const common = {
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 101,
};

it("names the layers with keys and values of their own, and their output projections", () => {
  const config = parseModelConfig(
    { ...common, model_type: "qwen3", head_dim: 16, intermediate_size: 48, max_position_embeddings: 64 },
    "test",
  );
  expect(calibratedLayers(config)).toEqual([
    {
      layer: 0,
      output: "model.layers.0.self_attn.o_proj.weight",
      isTransposed: false,
      numExperts: 1,
      headDim: 16,
      valueDim: 16,
    },
    {
      layer: 1,
      output: "model.layers.1.self_attn.o_proj.weight",
      isTransposed: false,
      numExperts: 1,
      headDim: 16,
      valueDim: 16,
    },
  ]);
});

it("says which are stored the other way round, and which widths are without zeros", () => {
  const config = parseModelConfig(
    { model_type: "gpt2", n_embd: 42, n_head: 6, n_layer: 1, n_positions: 64, vocab_size: 101 },
    "test",
  );
  expect(calibratedLayers(config)).toEqual([
    {
      layer: 0,
      output: "transformer.h.0.attn.c_proj.weight",
      isTransposed: true,
      numExperts: 1,
      headDim: 7,
      valueDim: 7,
    },
  ]);
});

it("names the projections of experts, and those of blocks that layers share, layer by layer", () => {
  const ofFamily = (name: string) => calibratedLayers(parseModelConfig(seededModel(name).config, "test"));
  expect(ofFamily("jetmoe")).toContainEqual({
    ...{ layer: 1, output: "model.layers.1.self_attention.experts.output_linear.weight", isTransposed: false },
    ...{ numExperts: 4, headDim: 16, valueDim: 16 },
  });
  // Both uses are of one block.
  const shared = "model.layers.1.shared_transformer.self_attn.o_proj.weight";
  const heads = { isTransposed: false, numExperts: 1, headDim: 32, valueDim: 32 };
  expect(ofFamily("zamba2")).toEqual([1, 2].map((layer) => ({ layer, output: shared, ...heads })));
});

it("says of a model with an indexer that its keys are there too", () => {
  const indexed = {
    ...common,
    ...{ model_type: "minimax_m3_vl_text", head_dim: 16, dense_intermediate_size: 48, intermediate_size: 16 },
    ...{ max_position_embeddings: 1024, num_local_experts: 4, num_experts_per_tok: 2, rotary_dim: 8 },
    ...{ shared_intermediate_size: 16, mlp_layer_types: ["dense", "sparse"], tie_word_embeddings: true },
    layer_types: ["full_attention", "minimax_m3_sparse"],
    ...{ index_n_heads: 2, index_head_dim: 16, index_block_size: 8, index_topk_blocks: 3 },
  };
  expect(calibratedLayers(parseModelConfig(indexed, "test"))).toBe("keys of an indexer lie beside those of attention");
});
