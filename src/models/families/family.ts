/** @file The differences between model families that the decoder supports. */
import type { Branch } from "../blocks/block.ts";
import type { ModelConfig } from "../model-config.ts";

export interface Family {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** Whether each head of Q and K has an RMS norm before RoPE. */
  readonly qkNorm: boolean;
  /**
   * Biases in attention: `always` on q, k and v; `never`; or `configurable`: where the config says `attention_bias`, on q, k, v
   * and the output projection.
   */
  readonly attentionBias: "always" | "never" | "configurable";
  /**
   * Which layers have a sliding window: `none`; `all` when `sliding_window` is set; or `upper`, those from `max_window_layers`
   * on when `use_sliding_window` is true. The config's `layer_types` overrides `upper`.
   */
  readonly slidingWindow: "none" | "all" | "upper";
  /**
   * Values for fields that a config leaves out, as in Transformers' config
   * class. An explicit null does not get them: it means none or a derived value.
   */
  readonly defaults: {
    /** Absent: as many as query heads. */
    readonly numKvHeads?: number;
    /** Absent: hidden_size over the number of heads. */
    readonly headDim?: number;
    readonly bosTokenId?: number;
    readonly eosTokenId?: number;
    readonly maxWindowLayers?: number;
    readonly tieWordEmbeddings: boolean;
  };
  /** The residual branches of a layer, in order. */
  branches(config: ModelConfig, layer: number): readonly Branch[];
}
