/** @file What distinguishes the families that run on our one decoder. */
import type { Branch } from "../blocks/block.ts";
import type { ModelConfig } from "../model-config.ts";

export interface Family {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** RMS norm on each head of Q and K before RoPE. */
  readonly qkNorm: boolean;
  /**
   * Biases in attention: `always` on q, k and v; `never`; or `configurable`, where the config's `attention_bias` puts
   * them on q, k, v and the output projection together.
   */
  readonly attentionBias: "always" | "never" | "configurable";
  /**
   * How the config describes sliding-window layers: `none`; `all` layers when `sliding_window` is set; or `upper` layers
   * from `max_window_layers` on when `use_sliding_window` is true. `layer_types` overrides the latter.
   */
  readonly slidingWindow: "none" | "all" | "upper";
  /** Fields a config may leave out, as the defaults of Transformers' config class. An explicit null is none, or derived. */
  readonly defaults: {
    /** All query heads where absent. */
    readonly numKvHeads?: number;
    /** hidden_size over the number of heads where absent. */
    readonly headDim?: number;
    readonly bosTokenId?: number;
    readonly eosTokenId?: number;
    readonly maxWindowLayers?: number;
    readonly tieWordEmbeddings: boolean;
  };
  /** The residual branches of a layer, in order. */
  branches(config: ModelConfig, layer: number): readonly Branch[];
}
