/** @file What metadata of mixtures of experts stand for in config.json, and what their files call the experts' tensors. */
import type { JsonObject } from "../json-file.ts";
import { graniteFactors, ofCohere2, ofGranite, ofPhi3 } from "./dense-fields.ts";
import { type ModelSizes, windowOf } from "./gemma-fields.ts";
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

/** A feed-forward beside the experts, that all rows go through. prefix: of its tensors in the layer */
export const sharedTensors = (prefix: string) => ({
  ffn_gate_shexp: `${prefix}.gate_proj`,
  ffn_up_shexp: `${prefix}.up_proj`,
  ffn_down_shexp: `${prefix}.down_proj`,
});

/** Keys of mixtures whose router is described by the file. */
export const ROUTER_KEYS = [...EXPERT_KEYS, "expert_gating_func", "expert_weights_scale", "expert_group_count"];

/** Numbers that llama.cpp has for how a router scores. */
export const GATING = { softmax: 1, sigmoid: 2, softmaxOfChosen: 3 };

/** @throws TurboQuantError unsupported — the file says another way of scoring than the one of `GATING` that is computed with */
export function checkGating(metadata: Metadata, expected: number): void {
  const key = metadata.own("expert_gating_func");
  const value = metadata.number(key, 0, 64, 0);
  if (value !== 0 && value !== expected)
    throw metadata.unsupported(key, `expected ${expected}, as other ways of scoring are not supported, got ${value}`);
}

/** A number that files leave out or give as 0 where it is 1. */
const scaleOf = (metadata: Metadata, key: string): number => metadata.number(metadata.own(key), 0, 1e6, 1) || 1;

/** The fields of DeepSeek's mixtures and of those like them. gating: of `GATING` */
export function mixtureFields(metadata: Metadata, gating: number): JsonObject {
  const own = (key: string): string => metadata.own(key);
  checkGating(metadata, gating);
  const { count, used } = sizesOf(metadata);
  return {
    num_experts: count,
    num_experts_per_tok: used,
    moe_intermediate_size: widthOf(metadata),
    first_k_dense_replace: metadata.number(own("leading_dense_block_count"), 0, 1024, 0),
    n_shared_experts: metadata.number(own("expert_shared_count"), 0, MAX.experts, 0),
    norm_topk_prob: metadata.boolean(own("expert_weights_norm"), false),
    routed_scaling_factor: scaleOf(metadata, "expert_weights_scale"),
    n_group: metadata.number(own("expert_group_count"), 0, count, 1) || 1,
    topk_group: metadata.number(own("expert_group_used_count"), 0, count, 1) || 1,
  };
}

/** Layers that have experts, as `mlp_layer_types`. */
export const sparseLayers = (layersWith: ModelSizes["layersWith"]): string[] =>
  layersWith("ffn_gate_inp").map((isSparse) => (isSparse ? "sparse" : "dense"));

const sizesOf = (metadata: Metadata) => {
  const own = (key: string): string => metadata.own(key);
  const count = metadata.size(own("expert_count"), MAX.experts);
  return { count, used: metadata.size(own("expert_used_count"), count) };
};

/** Width of an expert; of files that name none, that of the feed-forward. */
function widthOf(metadata: Metadata): number {
  const own = metadata.own("expert_feed_forward_length");
  return metadata.size(metadata.has(own) ? own : metadata.own("feed_forward_length"), MAX.width);
}

/** normalizes: whether the weights of the experts chosen add up to 1, of which files say nothing */
export const qwenMoe =
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

/** With a feed-forward beside the experts it is of another type. */
export function ofGraniteMoe(metadata: Metadata, sizes: ModelSizes): JsonObject {
  const shared = sharedWidthOf(metadata);
  return {
    ...ofGranite(metadata, sizes),
    ...graniteExperts(metadata),
    ...(shared > 0 && { model_type: "granitemoeshared", shared_intermediate_size: shared }),
  };
}

export function graniteExperts(metadata: Metadata): JsonObject {
  const { count, used } = sizesOf(metadata);
  return { num_local_experts: count, num_experts_per_tok: used, intermediate_size: widthOf(metadata) };
}

/** Of the feed-forward beside the experts; 0 for none. */
export const sharedWidthOf = (metadata: Metadata): number =>
  metadata.number(metadata.own("expert_shared_feed_forward_length"), 0, MAX.width, 0);

export const ofGlm4Moe = (metadata: Metadata, { hasBias, layersWith }: ModelSizes): JsonObject => ({
  ...mixtureFields(metadata, GATING.sigmoid),
  attention_bias: hasBias,
  use_qk_norm: layersWith("attn_q_norm").some(Boolean),
});

/** Llama's attention with experts like those of GLM 4.5, scored by softmax (DeepSeek of before V2, Ling 1). */
export const ofDeepseek = (metadata: Metadata, sizes: ModelSizes): JsonObject => ({
  ...mixtureFields(metadata, GATING.softmax),
  ...sharedCount(metadata, sizes),
  scoring_func: "softmax",
});

/** Ling 2: as GLM 4.5. */
export const ofBailingmoe2 = (metadata: Metadata, sizes: ModelSizes): JsonObject => ({
  ...ofGlm4Moe(metadata, sizes),
  ...sharedCount(metadata, sizes),
});

/** So many experts wide is the feed-forward beside them, whatever keys say of it: they have been written in more than one way. */
function sharedCount(metadata: Metadata, { layersWith, shapeOf }: ModelSizes): JsonObject {
  const layer = layersWith("ffn_up_shexp").indexOf(true);
  if (layer < 0) return { n_shared_experts: 0 };
  const rows = shapeOf(`blk.${layer}.ffn_up_shexp.weight`)![0]!;
  const width = widthOf(metadata);
  if (rows % width === 0) return { n_shared_experts: rows / width };
  throw metadata.invalid(metadata.own("expert_feed_forward_length"), `a divisor of the ${rows} rows of ffn_up_shexp`);
}

export const ofMinimaxM2 = (metadata: Metadata): JsonObject => ({
  ...mixtureFields(metadata, GATING.sigmoid),
  intermediate_size: widthOf(metadata),
});

export const ofDots1 = (metadata: Metadata): JsonObject => ({
  ...mixtureFields(metadata, GATING.sigmoid),
  sliding_window: null,
});

/** Files of before say nothing of the window's pattern. */
export const ofExaoneMoe = (metadata: Metadata, { layersWith }: ModelSizes): JsonObject => ({
  ...mixtureFields(metadata, GATING.sigmoid),
  ...windowOf(metadata, 128),
  mlp_layer_types: sparseLayers(layersWith),
});

export const ofHyV3 = (metadata: Metadata, { hasBias, layersWith }: ModelSizes): JsonObject => ({
  ...mixtureFields(metadata, GATING.sigmoid),
  attention_bias: hasBias,
  router_scaling_factor: scaleOf(metadata, "expert_weights_scale"),
  n_shared_experts: Math.round(sharedWidthOf(metadata) / widthOf(metadata)),
  mlp_layer_types: sparseLayers(layersWith),
});

export function ofHunyuanMoe(metadata: Metadata, { hasBias }: ModelSizes): JsonObject {
  const { count, used } = sizesOf(metadata);
  const width = widthOf(metadata);
  return {
    num_experts: count,
    moe_topk: used,
    intermediate_size: width,
    attention_bias: hasBias,
    num_shared_expert: metadata.number(metadata.own("expert_shared_count"), 0, MAX.experts, 0) || 1,
  };
}

export function ofAfmoe(metadata: Metadata): JsonObject {
  const { first_k_dense_replace, routed_scaling_factor, ...fields } = mixtureFields(metadata, GATING.sigmoid);
  return {
    ...fields,
    ...windowOf(metadata, null),
    num_dense_layers: first_k_dense_replace!,
    route_scale: routed_scaling_factor!,
    // Files say nothing of it; all of its models have it.
    mup_enabled: true,
  };
}

export function ofErnieMoe(metadata: Metadata): JsonObject {
  const { first_k_dense_replace, ...fields } = mixtureFields(metadata, GATING.softmax);
  return {
    ...fields,
    moe_layer_start_index: first_k_dense_replace!,
    moe_layer_interval: metadata.size(metadata.own("interleave_moe_layer_step"), 1024, 1),
  };
}

export const ofPhimoe = (metadata: Metadata, { hasBias, layersWith }: ModelSizes): JsonObject => ({
  ...ofMixtral(metadata),
  ...ofPhi3(metadata),
  attention_bias: hasBias && layersWith("attn_output.bias").some(Boolean),
  lm_head_bias: true,
});

/** What a file does not say is as in the published models, of which the one with 128 experts has no norms of q and k. */
export function ofLlama4(metadata: Metadata, { layersWith }: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(key);
  checkGating(metadata, GATING.sigmoid);
  const { count, used } = sizesOf(metadata);
  const hasNoWindows = metadata.raw(own("attention.sliding_window")) === 0;
  return {
    num_local_experts: count,
    num_experts_per_tok: used,
    intermediate_size: widthOf(metadata),
    intermediate_size_mlp: metadata.size(own("feed_forward_length"), MAX.width),
    moe_layers: layersWith("ffn_gate_inp").flatMap((isSparse, layer) => (isSparse ? [layer] : [])),
    attention_chunk_size: hasNoWindows ? null : 8192,
    ...(hasNoWindows && { no_rope_layers: layersWith("attn_q").map(() => 1) }),
    use_qk_norm: count !== 128,
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

/** The router scores the experts that it has chosen. */
export function ofCohere2Moe(metadata: Metadata, { layersWith }: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const isSoftmax = metadata.raw(own("expert_gating_func")) === GATING.softmax;
  const fields = mixtureFields(metadata, isSoftmax ? GATING.softmax : GATING.sigmoid);
  return {
    ...fields,
    ...ofCohere2(metadata),
    first_k_dense_replace: fields["first_k_dense_replace"]!,
    intermediate_size: widthOf(metadata),
    prefix_dense_intermediate_size: metadata.size(own("feed_forward_length"), MAX.width, widthOf(metadata)),
    expert_selection_fn: isSoftmax ? "softmax" : "sigmoid",
    shared_expert_combination_strategy: "average",
    mlp_layer_types: sparseLayers(layersWith),
  };
}

/** A list says which layers have rope; without one all have. */
export function ofGraniteSwa(metadata: Metadata, { headDim }: ModelSizes): JsonObject {
  const theta = metadata.number(metadata.own("rope.freq_base"), 1.001, 1e15, 10_000);
  const layers = metadata.perLayer(metadata.own("attention.rope_pattern"));
  return {
    ...graniteFactors(metadata, headDim),
    ...windowOf(metadata, 128),
    ...(layers && { layer_rope_theta: layers.map((hasRope) => (hasRope ? theta : 0)) }),
  };
}
