/** @file What a family of models says of itself: its fields, what its layers are made of, and what its tensors are called. */

import type { ActivationKind } from "../../backends/ops.ts";
import type { QueryGrowth } from "../../backends/query-growth.ts";
import type { Block, Branch } from "../blocks/block.ts";
import type { ExpertTraits } from "../blocks/expert-feed-forward.ts";
import type { ConfigFields } from "../config-fields.ts";
import type { Assembly, LatentDefaults, LayerAttention, ModelConfig } from "../model-config.ts";
import type { TensorNames } from "../tensor-names.ts";
import type { Traits } from "../traits.ts";

/** What of a config is known before `Family.mixer` is asked. */
export type MixerContext = Pick<
  ModelConfig,
  "hiddenSize" | "numLayers" | "numHeads" | "numKvHeads" | "headDim" | "normEps" | "latent" | "ropeOf" | "slidingWindow"
>;

/** What a mixture takes over from the model. */
export interface MixtureSizes {
  readonly numLayers: number;
  readonly activation: ActivationKind;
}

/** A layer among those of a model. */
export interface LayerContext {
  readonly numLayers: number;
  /** Positions that a layer attends to, 0 for all. */
  slidingWindow(layer: number): number;
}

export interface Family {
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** How it differs from Llama, in a few words, for docs/models.md. */
  readonly summary: string;
  /**
   * Which layers have a sliding window: `none`; `all` when `sliding_window` is set; `upper`, those from `max_window_layers` on
   * when `use_sliding_window` is true; or `pattern`, all but each n-th when `sliding_window` is set. The config's `layer_types`
   * overrides all but `none`. `chunks`: layers with rope have chunks of `attention_chunk_size` positions in the place of windows.
   */
  readonly slidingWindow: "none" | "all" | "upper" | "pattern" | "chunks";
  /** The config's field for n of `pattern`; absent: `sliding_window_pattern`. */
  readonly patternField?: string;
  /** Whether there are windows only if `use_sliding_window` is true; absent: for `upper` alone. */
  readonly hasWindowSwitch?: boolean;
  /** The config's field for the coordinates of a head that are turned, beside `partial_rotary_factor`, which then counts as well. */
  readonly rotaryDimField?: string;
  /** Whether one coordinate more is turned where a part of a head would be an odd number, with the frequencies of that number. */
  readonly hasOddRope?: true;
  /** Types in `layer_types` besides those of attention, of layers that have another block in its place; absent: none. */
  readonly otherLayerTypes?: readonly string[];
  /** The types of layers where a config does not list them; absent: by `slidingWindow`. */
  layerTypes?(config: ConfigFields, numLayers: number): readonly string[];
  /**
   * Values for fields that a config leaves out, as in Transformers' config class. An explicit null does not get them: it means
   * none or a derived value.
   */
  readonly defaults: {
    /** `num_attention_heads` and `vocab_size`; absent: a config has to say them. */
    readonly numHeads?: number;
    readonly vocabSize?: number;
    /** Absent: as many as query heads. */
    readonly numKvHeads?: number;
    /** Absent: hidden_size over the number of heads. */
    readonly headDim?: number;
    readonly bosTokenId?: number;
    readonly eosTokenId?: number | readonly number[];
    readonly maxWindowLayers?: number;
    /** `max_position_embeddings`; absent: a config has to say it. */
    readonly maxPosition?: number;
    /** `sliding_window`; null for none. Absent: 4096. */
    readonly slidingWindow?: number | null;
    /** Whether the last layer attends to everything whatever the config says. */
    readonly lastAttendsToAll?: true;
    /** The part of a head that rope turns as `proportional`, in layers without a window of a config that says nothing of rope. */
    readonly proportionalRope?: number;
    /** Of `pattern`: each n-th layer attends to everything. Absent: 4. */
    readonly windowPattern?: number;
    /** `rope_theta`; absent: 10,000. */
    readonly theta?: number;
    /** `rope_parameters` of a file that has neither these nor `rope_scaling`; absent: plain rope. */
    readonly rope?: Readonly<Record<string, string | number | boolean>>;
    /** `rope_local_base_freq`, of layers with a sliding window, whose rope is not scaled; absent: they have that of the others. */
    readonly slidingTheta?: number;
    /** The part of a head that is turned; absent: whole heads are, whatever `partial_rotary_factor` says. */
    readonly partialRotaryFactor?: number;
    /** Absent: 1e-6. */
    readonly normEps?: number;
    /** Absent: silu. */
    readonly hiddenAct?: string;
    /** `intermediate_size`, where no dense layer has to have one; absent: a config has to say it. */
    readonly intermediateSize?: number;
    readonly tieWordEmbeddings: boolean;
  };
  /** Number of layers, where a config says it in its own way; absent: `num_hidden_layers`. */
  numLayers?(config: ConfigFields): number;
  /** Set where the head is a matrix of its own whatever `tie_word_embeddings` says. */
  readonly isNeverTied?: true;
  /** Number of KV heads where a config says it in other words than `num_key_value_heads`. */
  numKvHeads?(config: ConfigFields, numHeads: number): number;
  /** False where no layer has attention, so that a config says nothing of its heads. */
  readonly hasAttention?: false;
  /** How the attention of a layer differs from that of others; absent: in nothing. @throws TurboQuantError — as `traits` */
  attentionOf?(config: ConfigFields, layer: number, at: LayerContext): Partial<LayerAttention>;
  /** Rows of the gate of a layer's feed-forward; absent: `intermediate_size`. */
  intermediateOf?(config: ConfigFields, layer: number, intermediateSize: number): number;
  /** False where there are as many KV heads as query heads whatever the config says. */
  readonly hasOwnKvHeads?: false;
  /** Fields as Transformers has them, made of those that published files have instead; they count in place of the file's. */
  published?(config: ConfigFields): Readonly<Record<string, unknown>>;
  /** Names that the config has for fields, by the usual names, e.g. `n_embd` for `hidden_size`. */
  readonly fields?: Readonly<Record<string, string>>;
  /** The config's field for the activation; absent: `hidden_act`. */
  readonly activationField?: string;
  /** Rows of the feed-forward's gate, where a config says them in its own way; absent: `intermediate_size`. */
  intermediateSize?(config: ConfigFields): number;
  /** The config's field for the epsilon of norms; absent: `rms_norm_eps`. */
  readonly normEpsField?: string;
  /** Whether a layer has rope; absent: all have. hasWindows: whether any layer has a sliding window */
  hasRope?(config: ConfigFields, layer: number, at: { readonly window: number; readonly hasWindows: boolean }): boolean;
  /** rope_theta of a layer, 0 for none; absent, or undefined: that of all. */
  layerTheta?(config: ConfigFields, layer: number): number | undefined;
  /** How queries of layers with rope, or of those without, grow with their position; absent, or undefined: they do not. */
  queryGrowth?(config: ConfigFields, hasRope: boolean): QueryGrowth | undefined;
  /** What the family means by a `rope_type`, where that differs from others. */
  ropeTypeOf?(type: string): string;
  /** Whether rope turns pairs the other way. */
  readonly reversesRope?: boolean;
  /** Whether a scaling of rope that stands for all layers is only for those without a window. */
  readonly scalesFullLayersOnly?: boolean;
  /** The longest context that is computed as the model has it; absent, or undefined: what rope allows. */
  contextLength?(config: ConfigFields): number | undefined;
  /** What of its layers differs from `LLAMA_TRAITS`. @throws TurboQuantError — a field that is wrong or asks for what is not there */
  traits?(config: ConfigFields): Partial<Traits>;
  /**
   * Which layers have another block in place of attention, as `ModelConfig.mixer`; absent: none.
   * @throws TurboQuantError — a field that is wrong or asks for what is not there
   */
  mixer?(config: ConfigFields, shape: MixerContext): (layer: number, prefix: string) => Block | null;
  /**
   * Which layers have a mixture of experts as their feed-forward, and what it is made of; absent: none.
   * @throws TurboQuantError — as `traits`
   */
  experts?(config: ConfigFields, sizes: MixtureSizes): (layer: number) => ExpertTraits | null;
  /** Of families with latent attention, whose rope is that of the rotary part. */
  readonly latent?: LatentDefaults;
  /** Names that differ from `LLAMA_NAMES`, and those that depend on the config. */
  readonly names?: Partial<TensorNames>;
  namesOf?(config: ConfigFields): Partial<TensorNames>;
  /**
   * What a layout is made of besides what `traits` can say, read from the config once; absent: nothing.
   * @throws TurboQuantError — as `traits`
   */
  assemble?(config: ConfigFields): (config: ModelConfig) => Assembly;
  /** The residual branches of a layer, in order; absent: those of `denseLayer`. */
  branches?(config: ModelConfig, layer: number): readonly Branch[];
}
