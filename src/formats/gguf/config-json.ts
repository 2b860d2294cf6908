/** @file The config.json that a GGUF file's metadata stands for, so that one parser checks both. */
import type { JsonObject } from "../json-file.ts";
import type { GgufArchitecture } from "./architectures.ts";
import type { Metadata } from "./metadata.ts";

export interface ConfigParts {
  readonly architecture: GgufArchitecture;
  /** Rows of the embedding. */
  readonly vocabSize: number;
  readonly hasHead: boolean;
  readonly hasAttentionBias: boolean;
  /** Divisors of the frequencies, one a pair of coordinates: the tensor `rope_freqs.weight`. */
  readonly ropeFactors: readonly number[] | null;
}

export function configJson(metadata: Metadata, parts: ConfigParts): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const numHeads = metadata.size(own("attention.head_count"));
  const hiddenSize = metadata.size(own("embedding_length"));
  const headDim = metadata.size(own("attention.key_length"), hiddenSize / numHeads);
  const valueDim = metadata.size(own("attention.value_length"), headDim);
  if (valueDim !== headDim) throw metadata.invalid(own("attention.value_length"), `as much as key_length (${headDim})`);
  const rotated = metadata.size(own("rope.dimension_count"), headDim);
  if (rotated !== headDim) {
    throw metadata.invalid(
      own("rope.dimension_count"),
      `the whole of a head (${headDim}), other parts are not supported`,
    );
  }
  const context = metadata.size(own("context_length"));
  if (parts.ropeFactors && parts.ropeFactors.length !== headDim / 2) {
    throw metadata.invalid(
      own("attention.key_length"),
      `twice the length of rope_freqs.weight (${parts.ropeFactors.length})`,
    );
  }
  return {
    model_type: parts.architecture.modelType,
    hidden_size: hiddenSize,
    num_hidden_layers: metadata.size(own("block_count")),
    num_attention_heads: numHeads,
    num_key_value_heads: metadata.size(own("attention.head_count_kv"), numHeads),
    head_dim: headDim,
    intermediate_size: metadata.size(own("feed_forward_length")),
    vocab_size: parts.vocabSize,
    rms_norm_eps: metadata.number(own("attention.layer_norm_rms_epsilon"), 1e-5),
    max_position_embeddings: context,
    tie_word_embeddings: !parts.hasHead,
    attention_bias: parts.architecture.modelType !== "qwen2" && parts.hasAttentionBias,
    rope_theta: metadata.number(own("rope.freq_base"), 10_000),
    ...ropeScaling(metadata, context, parts.ropeFactors),
  };
}

function ropeScaling(metadata: Metadata, context: number, factors: readonly number[] | null): JsonObject {
  if (factors) return { rope_scaling: { rope_type: "divisors", divisors: factors } };
  const own = (key: string): string => metadata.own(`rope.scaling.${key}`);
  const type = metadata.string(own("type"), "none");
  // Files from before `rope.scaling` carry the factor of linear scaling alone.
  const factor = metadata.number(own("factor"), metadata.number(metadata.own("rope.scale_linear"), 1));
  if (type === "none" || factor === 1) return {};
  const original = metadata.number(own("original_context_length"), context);
  if (type === "linear") return { rope_scaling: { rope_type: type, factor } };
  return { rope_scaling: { rope_type: type, factor, original_max_position_embeddings: original } };
}
