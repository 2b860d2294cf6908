/** @file The checked contents of a config.json. */
import type { Block, Branch, Streams } from "./blocks/block.ts";
import type { ExpertTraits } from "./blocks/expert-feed-forward.ts";
import type { RopeConfig } from "./rope.ts";
import type { TensorNames } from "./tensor-names.ts";
import type { Traits } from "./traits.ts";

/** The widths of multi-head latent attention (DeepSeek-V2). */
export interface LatentShape {
  /** Of the normed row that is cached for keys and values. */
  readonly kvRank: number;
  /** Of the normed row that queries are made of; null where they are made of the block's input. */
  readonly queryRank: number | null;
  /** Coordinates of a head's key without and with a position, and of its value. */
  readonly nopeDim: number;
  readonly ropeDim: number;
  readonly valueDim: number;
  /** Whether rope turns neighbours instead of halves. */
  readonly isInterleaved: boolean;
  /** Of the projections to latents, and of the output projection. */
  readonly hasBias: boolean;
  /** Whether the matrices from latents to keys, transposed, and to values are tensors of their own. */
  readonly isSplit: boolean;
  /** Softmax scale. */
  readonly scale: number;
}

/** What a family's class in Transformers has for fields that a config leaves out. */
export interface LatentDefaults {
  readonly kvRank: number;
  /** Null where queries have no latent. */
  readonly queryRank: number | null;
  readonly nopeDim: number;
  readonly ropeDim: number;
  /** Null for hidden_size over the number of heads. */
  readonly valueDim: number | null;
  /** Whether rope turns neighbours; `asked` where `rope_interleave` says it, true if it is left out. */
  readonly interleave: boolean | "asked";
}

/** How the attention of a layer may differ from that of others. */
export interface LayerAttention {
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Whether values are projected by the matrix of keys. */
  readonly valuesAreKeys: boolean;
  /** The earlier layer whose keys and values it reads instead of its own; null for its own. */
  readonly sharedWith: number | null;
  /** Tokens that an indexer before it chooses: the most of a list, and lists of a row, 1 or one for each KV head; absent: all are attended to. */
  readonly chosen?: { readonly count: number; readonly lists: number };
}

/** Parts of a layout that a family makes itself. */
export interface Assembly {
  /** Several residual streams; absent: one. */
  readonly streams?: Streams;
  /** False where the head reads what layers leave without a norm. */
  readonly hasFinalNorm?: false;
  /** The residual branches of a layer, in order; absent: those of `Family.branches`. */
  branches?(layer: number): readonly Branch[];
}

export interface ModelConfig {
  readonly modelType: string;
  /** Whether the file is of a model with image or sound inputs, of which this is the text model. */
  readonly isTextPart: boolean;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  /** Of attention; 0 where no layer has it. */
  readonly numHeads: number;
  /** Of latent attention: one head, as wide as what is cached of a token. */
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Null where keys and values are cached head by head. */
  readonly latent: LatentShape | null;
  /** 0 where no layer has a feed-forward. */
  readonly intermediateSize: number;
  readonly normEps: number;
  /** Whether the output head is the embedding matrix. */
  readonly tieWordEmbeddings: boolean;
  /** The context length the model is meant for, rope scaling included. */
  readonly maxPositionEmbeddings: number;
  /** What its layers are made of. */
  readonly traits: Traits;
  readonly names: TensorNames;
  /** The mixture of experts that a layer has as its feed-forward; null for a dense one. */
  expertsOf(layer: number): ExpertTraits | null;
  /** The heads of a layer, and where its keys and values are from. */
  attentionOf(layer: number): LayerAttention;
  /** Rows of the gate of a layer's dense feed-forward; usually `intermediateSize`. */
  intermediateOf(layer: number): number;
  /** Positions a token of the layer attends to, its own included; 0 for all. */
  slidingWindow(layer: number): number;
  /** Of the layers that attend to everything, where layers differ. */
  readonly rope: RopeConfig;
  /** Layers with equal ropes are given the same object. */
  ropeOf(layer: number): RopeConfig;
  /** The block that a layer has in place of attention, null for attention. prefix: beginning of the layer's tensors' names */
  mixer(layer: number, prefix: string): Block | null;
  /** See `Family.assemble`; null for a layout by traits alone. */
  readonly assemble: ((config: ModelConfig) => Assembly) | null;
  readonly bosTokenId: number | null;
  /** Each of these tokens ends a generation; generation_config.json may name more. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
}
