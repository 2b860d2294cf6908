/** @file What metadata of mixtures of experts stand for in config.json, and what their files call the experts' tensors. */
import type { JsonObject } from "../json-file.ts";
import { ofGranite } from "./dense-fields.ts";
import type { ModelSizes } from "./gemma-fields.ts";
import type { Metadata } from "./metadata.ts";

const MAX = { experts: 1024, width: 1 << 20 };

/** Keys of mixtures, among those that stand for what is not computed with elsewhere. */
export const EXPERT_KEYS = ["expert_count"];

/** Tensors of all experts in one, by what Transformers calls those of one expert. */
export const MLP_EXPERT_TENSORS = {
  ffn_gate_inp: "mlp.gate",
  ffn_gate_exps: "mlp.experts.gate_proj",
  ffn_up_exps: "mlp.experts.up_proj",
  ffn_down_exps: "mlp.experts.down_proj",
};

/** As Mixtral has them. */
export const BLOCK_SPARSE_TENSORS = {
  ffn_gate_inp: "block_sparse_moe.gate",
  ffn_gate_exps: "block_sparse_moe.experts.w1",
  ffn_up_exps: "block_sparse_moe.experts.w3",
  ffn_down_exps: "block_sparse_moe.experts.w2",
};

const sizesOf = (metadata: Metadata) => {
  const own = (key: string): string => metadata.own(key);
  const count = metadata.size(own("expert_count"), MAX.experts);
  return { count, used: metadata.size(own("expert_used_count"), count) };
};

/** Width of an expert; of files that name none, that of the feed-forward. */
const widthOf = (metadata: Metadata): number =>
  metadata.size(
    metadata.own("expert_feed_forward_length"),
    MAX.width,
    metadata.size(metadata.own("feed_forward_length"), MAX.width),
  );

/** normalizes: whether the weights of the experts chosen add up to 1, of which files say nothing */
const qwenMoe =
  (normalizes: boolean) =>
  (metadata: Metadata): JsonObject => {
    const { count, used } = sizesOf(metadata);
    return {
      num_experts: count,
      num_experts_per_tok: used,
      moe_intermediate_size: widthOf(metadata),
      norm_topk_prob: normalizes,
      decoder_sparse_step: 1,
      use_sliding_window: false,
    };
  };

export const ofQwen3Moe = (metadata: Metadata, { hasBias }: ModelSizes): JsonObject => ({
  ...qwenMoe(true)(metadata),
  attention_bias: hasBias,
});

export const ofQwen2Moe = (metadata: Metadata, { hasBias }: ModelSizes): JsonObject => ({
  ...qwenMoe(false)(metadata),
  qkv_bias: hasBias,
  shared_expert_intermediate_size: metadata.size(metadata.own("expert_shared_feed_forward_length"), MAX.width),
});

export function ofMixtral(metadata: Metadata): JsonObject {
  const { count, used } = sizesOf(metadata);
  return { num_local_experts: count, num_experts_per_tok: used, sliding_window: null };
}

export function ofGraniteMoe(metadata: Metadata): JsonObject {
  const { count, used } = sizesOf(metadata);
  return {
    ...ofGranite(metadata),
    num_local_experts: count,
    num_experts_per_tok: used,
    intermediate_size: widthOf(metadata),
  };
}

export function ofOlmoe(metadata: Metadata): JsonObject {
  const { count, used } = sizesOf(metadata);
  return { num_experts: count, num_experts_per_tok: used, intermediate_size: widthOf(metadata), norm_topk_prob: false };
}

/** Every other layer has the window, from the first on. */
export function ofGptOss(metadata: Metadata): JsonObject {
  const { count, used } = sizesOf(metadata);
  return {
    num_local_experts: count,
    num_experts_per_tok: used,
    intermediate_size: widthOf(metadata),
    sliding_window: metadata.size(metadata.own("attention.sliding_window"), 2 ** 30),
    attention_bias: true,
  };
}

/** As its config.json has it, which no key of the file says. */
export const ropeOfGptOss = (): JsonObject => ({ truncate: false });
