/** @file What metadata of models with latent attention stand for in config.json, and what their files call its tensors. */
import type { JsonObject } from "../json-file.ts";
import { GATING, mixtureFields, sparseLayers } from "./expert-fields.ts";
import type { ModelSizes } from "./gemma-fields.ts";
import type { Metadata } from "./metadata.ts";

const MAX_WIDTH = 1 << 20;

/** prefix: of the tensors in the layer */
export const latentTensors = (prefix: string) => ({
  attn_q_a: `${prefix}q_a_proj`,
  attn_q_a_norm: `${prefix}q_a_layernorm`,
  attn_q_b: `${prefix}q_b_proj`,
  attn_kv_a_mqa: `${prefix}kv_a_proj_with_mqa`,
  attn_kv_a_norm: `${prefix}kv_a_layernorm`,
  attn_kv_b: `${prefix}kv_b_proj`,
  attn_k_b: `${prefix}k_b_proj`,
  attn_v_b: `${prefix}v_b_proj`,
});

/** Files have the matrices from latents to keys and values as one, or as two, of which that of keys is transposed. */
function latentFields(metadata: Metadata, { numHeads, layersWith, shapeOf }: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const size = (key: string, fallback?: number): number => metadata.size(own(key), MAX_WIDTH, fallback);
  const ropeDim = size("rope.dimension_count");
  const ofKeys = metadata.has(own("attention.key_length_mla")) ? "key_length_mla" : "key_length";
  const keyDim = size(`attention.${ofKeys}`);
  if (keyDim <= ropeDim)
    throw metadata.invalid(own(`attention.${ofKeys}`), `more than rope.dimension_count (${ropeDim})`);
  const ofValues = metadata.has(own("attention.value_length_mla")) ? "value_length_mla" : "value_length";
  const rows = shapeOf("blk.0.attn_kv_b.weight")?.[0];
  return {
    kv_lora_rank: size("attention.kv_lora_rank"),
    q_lora_rank: metadata.has(own("attention.q_lora_rank")) ? size("attention.q_lora_rank") : null,
    qk_rope_head_dim: ropeDim,
    qk_nope_head_dim: keyDim - ropeDim,
    // Files of MiniCPM3 do not say it.
    v_head_dim: size(`attention.${ofValues}`, rows === undefined ? undefined : rows / numHeads - keyDim + ropeDim),
    split_kv_b_proj: layersWith("attn_k_b").some(Boolean),
  };
}

/** Groups of experts, and those that are chosen, of models whose first files do not say them, by their number of experts. */
const GROUPS: Readonly<Record<number, readonly [count: number, chosen: number]>> = { 160: [8, 3], 256: [8, 4] };

/** DeepSeek-V3 and those like it have sigmoids and a bias for the choice, V2 has neither. A model without experts is dense throughout. */
export function ofDeepseek2(metadata: Metadata, sizes: ModelSizes): JsonObject {
  const latent = latentFields(metadata, sizes);
  const count = metadata.number(metadata.own("expert_count"), 0, 1024, 0);
  if (count === 0) return { ...latent, model_type: "deepseek_v3", first_k_dense_replace: sizes.numLayers };
  const isSigmoid =
    metadata.raw(metadata.own("expert_gating_func")) === GATING.sigmoid ||
    sizes.layersWith("exp_probs_b.bias").some(Boolean);
  const fields = mixtureFields(metadata, isSigmoid ? GATING.sigmoid : GATING.softmax);
  const isSaid = metadata.has(metadata.own("expert_group_count"));
  const [groups, chosen] = (!isSaid && GROUPS[count]) || [fields["n_group"] as number, fields["topk_group"] as number];
  return {
    ...latent,
    ...fields,
    // Files of models that list their layers say 0.
    first_k_dense_replace: Math.max(0, sizes.layersWith("ffn_gate_inp").indexOf(true)),
    n_group: groups,
    topk_group: chosen,
    ...(isSigmoid ? { model_type: "deepseek_v3" } : { topk_method: groups > 1 ? "group_limited_greedy" : "greedy" }),
  };
}

/** The multiplier is a tenth of what config.json calls `mscale_all_dim`, which `mscale` is as well. */
export function ropeOfDeepseek2(metadata: Metadata): JsonObject {
  const multiplier = metadata.number(metadata.own("rope.scaling.yarn_log_multiplier"), 0, 1e3, 0);
  return multiplier === 0 ? {} : { mscale: 10 * multiplier, mscale_all_dim: 10 * multiplier };
}

/** Scales of embeddings, residuals and logits are those of all its models. */
export const ofMinicpm3 = (metadata: Metadata, sizes: ModelSizes): JsonObject => latentFields(metadata, sizes);

/** Tensors of indexers of latent attention. */
export const INDEXER_TENSORS = {
  "indexer.attn_k": "self_attn.indexer.wk",
  "indexer.attn_q_b": "self_attn.indexer.wq_b",
  "indexer.k_norm": "self_attn.indexer.k_norm",
  "indexer.proj": "self_attn.indexer.weights_proj",
};

/** DeepSeek-V3.2 and GLM 5: some layers of the latter attend to the tokens that a layer before them chose. */
export function ofIndexed(metadata: Metadata, sizes: ModelSizes): JsonObject {
  const size = (key: string): number => metadata.size(metadata.own(`attention.indexer.${key}`), MAX_WIDTH);
  return {
    ...latentFields(metadata, sizes),
    ...mixtureFields(metadata, GATING.sigmoid),
    mlp_layer_types: sparseLayers(sizes.layersWith),
    index_n_heads: size("head_count"),
    index_head_dim: size("key_length"),
    index_topk: size("top_k"),
    indexer_types: sizes.layersWith("indexer.attn_k").map((chooses) => (chooses ? "full" : "shared")),
  };
}

/** Layers without KV heads have delta attention. */
function deltaFields(metadata: Metadata, { numHeads }: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const heads = metadata.perLayer(own("attention.head_count_kv")) ?? [];
  return {
    layer_types: heads.map((count) => (count === 0 ? "linear_attention" : "full_attention")),
    linear_num_heads: numHeads,
    linear_head_dim: metadata.size(own("kda.head_dim"), MAX_WIDTH),
    linear_conv_kernel_dim: metadata.size(own("ssm.conv_kernel"), 1024),
  };
}

export const ofKimiLinear = (metadata: Metadata, sizes: ModelSizes): JsonObject => ({
  ...latentFields(metadata, sizes),
  ...mixtureFields(metadata, GATING.sigmoid),
  // Of which files say nothing; all of its models have it.
  norm_topk_prob: true,
  ...deltaFields(metadata, sizes),
});

/** Ling 3: decays have a bound. Limits of what gates and values of feed-forwards may be are not computed with. */
export function ofBailingmoe3(metadata: Metadata, sizes: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(key);
  for (const key of ["swiglu_clamp_exp", "swiglu_clamp_shexp"].map(own)) {
    const limits = metadata.raw(key) ?? 0;
    if ([limits].flat().some((limit) => limit !== 0))
      throw metadata.unsupported(key, "expected 0, as limits are not supported");
  }
  if (!metadata.boolean(own("kda.safe_gate"), true))
    throw metadata.unsupported(own("kda.safe_gate"), "expected true, as decays without a bound are not supported");
  return {
    ...latentFields(metadata, sizes),
    ...mixtureFields(metadata, GATING.sigmoid),
    ...deltaFields(metadata, sizes),
    kda_safe_gate: true,
    kda_lower_bound: metadata.number(own("kda.gate_lower_bound"), -1e3, -1e-6),
  };
}
