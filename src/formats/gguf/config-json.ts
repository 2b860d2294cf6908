/** @file The config.json that a GGUF file's metadata stands for, so that one parser checks both. */
import type { JsonObject } from "../json-file.ts";
import type { GgufArchitecture } from "./architecture.ts";
import type { Heads } from "./layer-heads.ts";
import type { Metadata } from "./metadata.ts";

/** What a model can have at most, as in `models/config.ts`; checked here too, so that errors name the file's own keys. */
const MAX = { heads: 65_536, width: 1 << 20, position: 2 ** 30, factor: 1e6, theta: 1e15 };

export interface ConfigParts {
  readonly architecture: GgufArchitecture;
  /** The number of rows of the embedding. */
  readonly vocabSize: number;
  readonly hasHead: boolean;
  readonly hasAttentionBias: boolean;
  /** Of each layer, whether it has a tensor of this name; see `partOf`. */
  layersWith(part: string): readonly boolean[];
  /** Of a tensor by its name in the file; undefined for one that is not there. */
  shapeOf(name: string): readonly number[] | undefined;
  /** Divisors of the frequencies, one a pair of coordinates: the tensor `rope_freqs.weight`. */
  readonly ropeFactors: readonly number[] | null;
  /** Those of LongRoPE: the tensors `rope_factors_short.weight` and `rope_factors_long.weight`. */
  readonly longRope: { readonly short: readonly number[]; readonly long: readonly number[] } | null;
}

export function configJson(metadata: Metadata, parts: ConfigParts): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const { architecture } = parts;
  refuseFeatures(metadata, architecture);
  const { numLayers } = metadata;
  const hiddenSize = metadata.size(own("embedding_length"), MAX.width);
  const heads =
    architecture.heads?.(metadata) ??
    (architecture.attention === "none" ? NO_HEADS : headsOf(metadata, parts, hiddenSize));
  const { numHeads, headDim } = heads;
  const { modelType } = architecture;
  const hasBias = parts.hasAttentionBias;
  const context = metadata.size(own("context_length"), MAX.position);
  const width = feedForwardOf(metadata, architecture);
  return {
    model_type: modelType,
    hidden_size: hiddenSize,
    num_hidden_layers: numLayers,
    ...heads.fields,
    ...(width > 0 && { intermediate_size: width }),
    vocab_size: parts.vocabSize,
    ...(architecture.hasLayerNorm
      ? {}
      : { rms_norm_eps: metadata.number(own("attention.layer_norm_rms_epsilon"), 0, 1) }),
    max_position_embeddings: context,
    tie_word_embeddings: !parts.hasHead,
    rope_theta: metadata.number(own("rope.freq_base"), 1.001, MAX.theta, 10_000),
    ...ropeFields(metadata, context, parts),
    ...(architecture.biases === "products" && biasFields(metadata, parts)),
    ...architecture.fields?.(metadata, {
      numLayers,
      numHeads,
      hiddenSize,
      headDim,
      hasBias,
      layersWith: parts.layersWith,
      shapeOf: parts.shapeOf,
    }),
  };
}

/** Of a model without attention. */
const NO_HEADS: Heads = { numHeads: 0, headDim: 0, fields: {} };

function headsOf(metadata: Metadata, { architecture, ropeFactors }: ConfigParts, hiddenSize: number): Heads {
  const own = (key: string): string => metadata.own(key);
  const numHeads = metadata.size(own("attention.head_count"), MAX.heads);
  if (architecture.attention === "latent")
    return { numHeads, headDim: hiddenSize / numHeads, fields: { num_attention_heads: numHeads } };
  if (!metadata.has(own("attention.key_length")) && hiddenSize % numHeads !== 0) {
    throw metadata.invalid(
      own("attention.head_count"),
      `a divisor of embedding_length (${hiddenSize}), or an attention.key_length`,
    );
  }
  const numKvHeads = kvHeadsOf(metadata, architecture, numHeads);
  if (numHeads % numKvHeads !== 0)
    throw metadata.invalid(own("attention.head_count_kv"), `a divisor of head_count (${numHeads})`);
  const headDim = metadata.size(own("attention.key_length"), MAX.width, hiddenSize / numHeads);
  const valueDim = metadata.size(own("attention.value_length"), MAX.width, headDim);
  if (valueDim !== headDim) throw metadata.invalid(own("attention.value_length"), `as much as key_length (${headDim})`);
  const rotated = metadata.size(own("rope.dimension_count"), MAX.width, headDim);
  if (rotated !== headDim && !architecture.hasPartialRope) {
    throw metadata.invalid(
      own("rope.dimension_count"),
      `the whole of a head (${headDim}), other parts are not supported`,
    );
  }
  if (ropeFactors && ropeFactors.length !== rotated / 2) {
    throw metadata.invalid(
      own("attention.key_length"),
      `twice the length of rope_freqs.weight (${ropeFactors.length}), which is ${rotated} here`,
    );
  }
  return {
    numHeads,
    headDim,
    fields: {
      num_attention_heads: numHeads,
      num_key_value_heads: numKvHeads,
      head_dim: headDim,
      ...(architecture.hasPartialRope && { partial_rotary_factor: rotated / headDim }),
    },
  };
}

/** A llama with biases of q, k and v, and of them alone, is what Transformers calls qwen2. */
function biasFields(metadata: Metadata, { hasAttentionBias, layersWith }: ConfigParts): JsonObject {
  const [output, feedForward] = ["attn_output.bias", "ffn_up.bias"].map((part) => layersWith(part).some(Boolean));
  if (!hasAttentionBias || output) return { attention_bias: output!, mlp_bias: feedForward! };
  if (!feedForward) return { model_type: "qwen2" };
  throw metadata.unsupported(
    "general.architecture",
    "expected a bias of attn_output beside those of attn_q, attn_k, attn_v and ffn_up, got none",
  );
}

function ropeFields(metadata: Metadata, context: number, parts: ConfigParts): JsonObject {
  const { architecture, longRope: factors, ropeFactors } = parts;
  if (architecture.ropes) return architecture.ropes(metadata, ropeFactors);
  return factors ? longRope(metadata, context, factors) : ropeScaling(metadata, context, parts);
}

/** Width of dense feed-forwards; 0 where files of mixtures and of state spaces say nothing of it. */
function feedForwardOf(
  metadata: Metadata,
  { hasLayersWithoutHeads, hasOwnWidths, attention, reads = [] }: GgufArchitecture,
): number {
  if (hasOwnWidths) return 0;
  const key = metadata.own("feed_forward_length");
  const mayHaveNone = attention === "none" || reads.includes("expert_count");
  if (mayHaveNone && [undefined, 0].includes(metadata.raw(key) as number | undefined)) return 0;
  if (!hasLayersWithoutHeads) return metadata.size(key, MAX.width);
  return metadata.perLayer(key)?.every((size) => size === 0) ? 0 : metadata.sizeOfOthers(key, MAX.width);
}

/** Of the layers that have attention. */
export const kvHeadsOf = (metadata: Metadata, architecture: GgufArchitecture, numHeads: number): number =>
  architecture.hasLayersWithoutHeads
    ? metadata.sizeOfOthers(metadata.own("attention.head_count_kv"), MAX.heads, numHeads)
    : metadata.size(metadata.own("attention.head_count_kv"), MAX.heads, numHeads);

function longRope(
  metadata: Metadata,
  context: number,
  { short, long }: NonNullable<ConfigParts["longRope"]>,
): JsonObject {
  const own = (key: string): string => metadata.own(`rope.scaling.${key}`);
  return {
    rope_scaling: {
      rope_type: "longrope",
      short_factor: short,
      long_factor: long,
      original_max_position_embeddings: metadata.size(own("original_context_length"), MAX.position, context),
      ...(metadata.has(own("attn_factor")) && {
        attention_factor: metadata.number(own("attn_factor"), 1e-6, MAX.factor),
      }),
    },
  };
}

function ropeScaling(
  metadata: Metadata,
  context: number,
  { architecture, ropeFactors: factors }: Pick<ConfigParts, "architecture" | "ropeFactors">,
): JsonObject {
  const own = (key: string): string => metadata.own(`rope.scaling.${key}`);
  // A factor alone is one of linear scaling; files write `none` where there is another one.
  const type = metadata.string(own("type"), "linear");
  if (!["none", "linear", "yarn"].includes(type))
    throw metadata.unsupported(own("type"), `expected none, linear or yarn, got ${type.slice(0, 40)}`);
  // Files from before `rope.scaling` carry the factor of linear scaling alone.
  const older = metadata.number(metadata.own("rope.scale_linear"), 1, MAX.factor, 1);
  const isPlain = type === "none";
  // Zero stands for a factor that is not there.
  const factor =
    metadata.raw(own("factor")) === 0 ? older : metadata.number(own("factor"), isPlain ? 0 : 1, MAX.factor, older);
  const isScaled = !isPlain && factor !== 1;
  if (factors) {
    if (isScaled && type === "yarn")
      throw metadata.unsupported(own("type"), "expected no yarn beside rope_freqs.weight, got both");
    // Linear scaling divides all frequencies.
    const divisors = factors.map((divisor) => divisor * (isScaled ? factor : 1));
    return { rope_scaling: { rope_type: "divisors", divisors } };
  }
  if (!isScaled) return {};
  if (type !== "yarn") return { rope_scaling: { rope_type: "linear", factor } };
  const number = (key: string, fallback: number): number => metadata.number(own(key), 0, MAX.factor, fallback);
  // The factor of attention that yarn gives is multiplied by what the file says.
  const more = number("attn_factor", 1) * number("yarn_attn_factor", 1);
  return {
    rope_scaling: {
      rope_type: type,
      factor,
      original_max_position_embeddings: metadata.size(own("original_context_length"), MAX.position, context),
      beta_fast: number("yarn_beta_fast", 32),
      beta_slow: number("yarn_beta_slow", 1),
      ...(more !== 1 && { attention_factor: more * (0.1 * Math.log(factor) + 1) }),
      ...architecture.ropeFields?.(metadata),
    },
  };
}

/** Keys that change what a model computes in ways that are not supported, each with the value that changes nothing. */
const FEATURES: Readonly<Record<string, number | boolean>> = {
  expert_count: 0,
  // Softmax, in the numbers of llama.cpp.
  expert_gating_func: 1,
  expert_weights_scale: 1,
  expert_group_count: 1,
  use_parallel_residual: false,
  logit_scale: 1,
  residual_scale: 1,
  embedding_scale: 1,
  attn_logit_softcapping: 0,
  final_logit_softcapping: 0,
  "attention.scale": 0,
  "attention.clamp_kqv": 0,
  "attention.max_alibi_bias": 0,
  "attention.causal": true,
  "rope.scaling.yarn_ext_factor": 1,
  "rope.scaling.yarn_log_multiplier": 0,
};

function refuseFeatures(metadata: Metadata, { reads = [] }: GgufArchitecture): void {
  for (const [key, neutral] of Object.entries(FEATURES)) {
    if (reads.includes(key)) continue;
    const value = metadata.raw(metadata.own(key));
    // Zero stands for a key that is not there.
    if (value === undefined || value === neutral || value === 0) continue;
    throw metadata.unsupported(metadata.own(key), `expected ${neutral}, as this is not supported, got ${value}`);
  }
}
