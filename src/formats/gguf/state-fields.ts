/** @file What metadata of models with states of fixed size stand for in config.json, and what their files call the tensors of such layers. */
import type { JsonObject } from "../json-file.ts";
import { graniteFactors, ofLfm2 } from "./dense-fields.ts";
import { checkGating, GATING, graniteExperts, mixtureFields, qwenMoe, sharedWidthOf } from "./expert-fields.ts";
import type { ModelSizes } from "./gemma-fields.ts";
import type { Metadata } from "./metadata.ts";

const MAX = { width: 1 << 20, heads: 65_536, kernel: 1024 };

/** Files have −exp(A_log). */
export const LOG_OF_NEGATIVE = (stored: number): number => Math.log(-stored);

/** One number a head, which some files have as rows of one. */
export const FLAT = (stored: readonly number[]): readonly number[] => [
  stored.reduce((product, size) => product * size, 1),
];

/** Taps by channel, without the dimension between them. */
export const TAPS = (stored: readonly number[]): readonly number[] =>
  stored.length === 2 ? [stored[0]!, 1, stored[1]!] : stored;

/** Of Mamba-2. prefix: of the tensors in the layer */
export const mamba2Tensors = (prefix: string) => ({
  layer: {
    ssm_in: `${prefix}in_proj`,
    ssm_conv1d: `${prefix}conv1d`,
    ssm_norm: `${prefix}norm`,
    ssm_out: `${prefix}out_proj`,
  },
  whole: {
    ssm_a: `${prefix}A_log`,
    ssm_d: `${prefix}D`,
    "ssm_dt.bias": `${prefix}dt_bias`,
    "ssm_conv1d.bias": `${prefix}conv1d.bias`,
  },
  shapes: { ssm_a: FLAT, ssm_d: FLAT, ssm_norm: FLAT, ssm_conv1d: TAPS },
  values: { ssm_a: LOG_OF_NEGATIVE },
});

interface StateSpace {
  readonly inner: number;
  readonly heads: number;
  readonly headDim: number;
  readonly groups: number;
  readonly stateSize: number;
  readonly kernel: number;
  readonly hasConvolutionBias: boolean;
}

function stateSpaceOf(metadata: Metadata, layersWith: ModelSizes["layersWith"]): StateSpace {
  const own = (key: string): string => metadata.own(`ssm.${key}`);
  const inner = metadata.size(own("inner_size"), MAX.width);
  const heads = metadata.size(own("time_step_rank"), MAX.heads);
  if (inner % heads !== 0) throw metadata.invalid(own("time_step_rank"), `a divisor of ssm.inner_size (${inner})`);
  return {
    inner,
    heads,
    headDim: inner / heads,
    groups: metadata.size(own("group_count"), MAX.heads, 1),
    stateSize: metadata.size(own("state_size"), MAX.width),
    kernel: metadata.size(own("conv_kernel"), MAX.kernel),
    hasConvolutionBias: layersWith("ssm_conv1d.bias").some(Boolean),
  };
}

/** Under the names that Bamba and those that took them over have. */
const bambaFields = ({ heads, headDim, groups, stateSize, kernel, hasConvolutionBias }: StateSpace): JsonObject => ({
  mamba_n_heads: heads,
  mamba_d_head: headDim,
  mamba_n_groups: groups,
  mamba_d_state: stateSize,
  mamba_d_conv: kernel,
  mamba_conv_bias: hasConvolutionBias,
  mamba_proj_bias: false,
});

function expansion(metadata: Metadata, { inner }: StateSpace, hiddenSize: number): number {
  if (inner % hiddenSize === 0) return inner / hiddenSize;
  throw metadata.invalid(metadata.own("ssm.inner_size"), `a multiple of embedding_length (${hiddenSize})`);
}

/** Factors of what blocks read and make are in the weights. A norm, where there is one, is behind the gate. */
export function ofFalconH1(metadata: Metadata, { layersWith }: ModelSizes): JsonObject {
  const space = stateSpaceOf(metadata, layersWith);
  return {
    ...bambaFields(space),
    mamba_d_ssm: space.inner,
    mamba_rms_norm: layersWith("ssm_norm").some(Boolean),
    mamba_norm_before_gate: false,
  };
}

/** Layers without KV heads are Mamba-2. A file says by `rope.scaling.finetuned` whether the others have rope. */
export function ofGraniteHybrid(metadata: Metadata, { hiddenSize, headDim, layersWith }: ModelSizes): JsonObject {
  const space = stateSpaceOf(metadata, layersWith);
  const heads = metadata.perLayer(metadata.own("attention.head_count_kv"));
  const hasExperts = metadata.number(metadata.own("expert_count"), 0, 1024, 0) > 0;
  const width = metadata.size(metadata.own("feed_forward_length"), MAX.width);
  return {
    ...graniteFactors(metadata, headDim),
    ...bambaFields(space),
    mamba_expand: expansion(metadata, space, hiddenSize),
    layer_types: layersWith("attn_q").map((attends, layer) =>
      (heads ? heads[layer] !== 0 : attends) ? "attention" : "mamba",
    ),
    position_embedding_type: metadata.boolean(metadata.own("rope.scaling.finetuned"), true) ? "rope" : "nope",
    ...(hasExperts ? graniteExperts(metadata) : { num_local_experts: 0 }),
    shared_intermediate_size: hasExperts ? sharedWidthOf(metadata) : width,
  };
}

/** A layer with KV heads attends, one with a width has a feed-forward, dense or of experts, and one with neither is Mamba-2. */
export function ofNemotronH(metadata: Metadata, { layersWith, shapeOf }: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const { heads, headDim, groups, stateSize, kernel, hasConvolutionBias } = stateSpaceOf(metadata, layersWith);
  const [attends, isDense, isSparse] = ["attn_q", "ffn_up", "ffn_gate_inp"].map(layersWith);
  const hasExperts = metadata.number(own("expert_count"), 0, 1024, 0) > 0;
  const eps = ["attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"].map(own);
  const latent = metadata.raw(own("moe_latent_size"));
  const dense = shapeOf(`blk.${isDense!.indexOf(true)}.ffn_up.weight`);
  return {
    layers_block_type: attends!.map((isAttention, layer) =>
      isAttention ? "attention" : isSparse![layer] ? "moe" : isDense![layer] ? "mlp" : "mamba",
    ),
    mamba_num_heads: heads,
    mamba_head_dim: headDim,
    n_groups: groups,
    ssm_state_size: stateSize,
    conv_kernel: kernel,
    use_conv_bias: hasConvolutionBias,
    use_bias: false,
    layer_norm_epsilon: metadata.number(eps.find((key) => metadata.has(key)) ?? eps[1]!, 0, 1),
    // Files of mixtures may give every layer a width of 0.
    ...(dense && { intermediate_size: dense[0]! }),
    ...(typeof latent === "number" && latent > 0 && { moe_latent_size: latent }),
    ...(hasExperts && {
      ...mixtureFields(metadata, GATING.sigmoid),
      moe_shared_expert_intermediate_size: sharedWidthOf(metadata),
    }),
  };
}

export function ofMamba2(metadata: Metadata, { hiddenSize, layersWith }: ModelSizes): JsonObject {
  const space = stateSpaceOf(metadata, layersWith);
  return {
    num_heads: space.heads,
    head_dim: space.headDim,
    n_groups: space.groups,
    state_size: space.stateSize,
    conv_kernel: space.kernel,
    expand: expansion(metadata, space, hiddenSize),
    use_conv_bias: space.hasConvolutionBias,
    use_bias: false,
    layer_norm_epsilon: metadata.number(metadata.own("attention.layer_norm_rms_epsilon"), 0, 1),
  };
}

/** Which of the layers are meant, as a number of layers from each to the next, and the first; those that are none are behind the last. */
function everyOf(
  metadata: Metadata,
  layers: readonly boolean[],
  what: string,
): readonly [period: number, offset: number] {
  const offset = layers.indexOf(true);
  if (offset < 0) return [layers.length + 1, layers.length];
  const next = layers.indexOf(true, offset + 1);
  const period = next < 0 ? Math.max(layers.length, offset + 1) : next - offset;
  if (layers.every((is, layer) => is === (layer % period === offset))) return [period, offset];
  throw metadata.unsupported(
    metadata.own("block_count"),
    `expected ${what} in one of every so many layers, got them in others`,
  );
}

export function ofJamba(metadata: Metadata, { layersWith }: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const [attentionPeriod, attentionOffset] = everyOf(metadata, layersWith("attn_q"), "attention");
  const [expertPeriod, expertOffset] = everyOf(metadata, layersWith("ffn_gate_inp"), "experts");
  const inner = metadata.size(own("ssm.inner_size"), MAX.width);
  const hiddenSize = metadata.size(own("embedding_length"), MAX.width);
  if (inner % hiddenSize !== 0)
    throw metadata.invalid(own("ssm.inner_size"), `a multiple of embedding_length (${hiddenSize})`);
  const count = metadata.number(own("expert_count"), 0, 1024, 0);
  return {
    attn_layer_period: attentionPeriod,
    attn_layer_offset: attentionOffset,
    expert_layer_period: expertPeriod,
    expert_layer_offset: expertOffset,
    num_experts: Math.max(1, count),
    ...(count > 1 && { num_experts_per_tok: metadata.size(own("expert_used_count"), count) }),
    mamba_expand: inner / hiddenSize,
    mamba_d_state: metadata.size(own("ssm.state_size"), MAX.width),
    mamba_d_conv: metadata.size(own("ssm.conv_kernel"), MAX.kernel),
    mamba_dt_rank: metadata.size(own("ssm.time_step_rank"), MAX.heads),
    mamba_conv_bias: layersWith("ssm_conv1d.bias").some(Boolean),
    mamba_proj_bias: false,
  };
}

/** Norms of Qwen's hybrids hold 1 + w but for those of delta nets. */
function ofQwenHybrid(metadata: Metadata, { layersWith }: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(`ssm.${key}`);
  const dim = metadata.size(own("state_size"), MAX.width);
  return {
    norm_offset: 0,
    attention_bias: false,
    layer_types: layersWith("ssm_a").map((isLinear) => (isLinear ? "linear_attention" : "full_attention")),
    linear_num_key_heads: metadata.size(own("group_count"), MAX.heads),
    linear_num_value_heads: metadata.size(own("time_step_rank"), MAX.heads),
    linear_key_head_dim: dim,
    linear_value_head_dim: dim,
    linear_conv_kernel_dim: metadata.size(own("conv_kernel"), MAX.kernel),
  };
}

const withSharedExpert = (metadata: Metadata): JsonObject => ({
  ...qwenMoe(true)(metadata),
  shared_expert_intermediate_size: metadata.size(metadata.own("expert_shared_feed_forward_length"), MAX.width),
});

export const ofQwen3Next = (metadata: Metadata, sizes: ModelSizes): JsonObject => ({
  ...ofQwenHybrid(metadata, sizes),
  ...withSharedExpert(metadata),
});

/** The heads of v that a head of q and k serves are not beside each other. */
export const ofQwen35 = (metadata: Metadata, sizes: ModelSizes): JsonObject => ({
  ...ofQwenHybrid(metadata, sizes),
  linear_value_heads_tiled: true,
});

export const ofQwen35Moe = (metadata: Metadata, sizes: ModelSizes): JsonObject => ({
  ...ofQwen35(metadata, sizes),
  ...withSharedExpert(metadata),
});

export function ofLfm2Moe(metadata: Metadata, { layersWith }: ModelSizes): JsonObject {
  checkGating(metadata, GATING.sigmoid);
  const { first_k_dense_replace, routed_scaling_factor, ...fields } = mixtureFields(metadata, GATING.sigmoid);
  return {
    ...ofLfm2(metadata),
    ...fields,
    routed_scaling_factor: routed_scaling_factor!,
    num_dense_layers: first_k_dense_replace!,
    norm_topk_prob: true,
    use_expert_bias: layersWith("exp_probs_b.bias").some(Boolean),
  };
}
