/** @file What a dense model's layers are made of: every way in which families differ from Llama. */
import type { SwigluClamp } from "../backends/activation.ts";
import type { ActivationKind, TokenBlocks } from "../backends/ops.ts";

export interface Biases {
  readonly qkv: boolean;
  /** Of the attention's output projection. */
  readonly output: boolean;
  readonly feedForward: boolean;
  /** Of the norms of layers and of the final norm; only LayerNorm has them. */
  readonly norm: boolean;
  readonly head: boolean;
}

/** Factors of what blocks read and make (Falcon-H1). */
export interface BlockFactors {
  /** Of what attention reads, and the block beside it. */
  readonly attentionInput: number;
  readonly mixerInput: number;
  /** Of keys, which makes it one of scores. */
  readonly key: number;
  readonly attentionOutput: number;
  /** Of the feed-forward's gate before its activation, and of its output. */
  readonly gate: number;
  readonly down: number;
}

/** An indexer that chooses the tokens that latent attention is over. */
export interface IndexerTraits {
  /** Number of tokens that are chosen. */
  readonly count: number;
  readonly numHeads: number;
  readonly headDim: number;
  /** Whether rope turns neighbours in its heads. */
  readonly isInterleaved: boolean;
  /** Of each layer: whether it chooses tokens, or attends to those that were chosen last. */
  readonly choosesIn: readonly boolean[];
}

/** An indexer that chooses the blocks of tokens that each KV head's attention is over. */
export interface BlockIndexerTraits {
  /** As many as KV heads. */
  readonly numHeads: number;
  readonly headDim: number;
  readonly blocks: TokenBlocks;
  /** Of each layer: whether it chooses, or attends to all. */
  readonly choosesIn: readonly boolean[];
}

export interface Traits {
  /** `layer` is LayerNorm: less the row's mean, over its deviation. */
  readonly norm: "rms" | "layer";
  /** Where a block has its norm: `before` it reads, `after`, of what it adds to the residual stream, or `around`, both. */
  readonly norms: "before" | "after" | "around";
  /** Whether attention and feed-forward read the same rows, with one norm for both (`shared`) or each with its own. */
  readonly parallel: "no" | "shared" | "own";
  /**
   * RMS norm of q and k: of each head before rope or behind it, where a layer has one (`turnedHead`), or of a token's whole row before rope. Or
   * LayerNorm of each head before rope, with one weight and bias for all (`layerHead`) or with a weight for each (`layerHeads`).
   */
  readonly qkNorm: "none" | "head" | "turnedHead" | "row" | "layerHead" | "layerHeads";
  /** False where norms, those of heads too, only divide by the root mean square, and have no weights. */
  readonly hasNormWeights: boolean;
  /** Whether each position has an embedding of its own, instead of rope. */
  readonly learnedPositions: boolean;
  /** Whether the matrices of layers are stored as [in][out]. */
  readonly transposes: boolean;
  /** Values a layer of the inputs that layers have besides the stream, and tokens of their embedding; null for none. */
  readonly perLayerInputs: { readonly width: number; readonly vocabSize: number } | null;
  /** Whether the stream is multiplied by a learned number at the end of each layer. */
  readonly layerFactor: boolean;
  /** Several residual streams, of which layers compute on one; null for one alone. */
  readonly alternatingUpdates: {
    readonly count: number;
    readonly active: number;
    readonly scalesCorrected: boolean;
  } | null;
  /** Rank of the learned residual beside attention; 0 for none. */
  readonly learnedResidualRank: number;
  /** Of each layer: deviations above the mean that a gate has to be, null for all to count. Null for none in any layer. */
  readonly gateCutoffs: readonly (number | null)[] | null;
  /** Whether heads of v are normed, without weights. */
  readonly valueNorm: boolean;
  /**
   * Transformer blocks that layers share, which read the embeddings too (Zamba2): the layers that one runs in, in order, the number of blocks, which take turns, and the rank of
   * the products by which uses differ, where the block's parts have them. Null for none.
   */
  readonly sharedTransformers: {
    readonly layers: readonly number[];
    readonly count: number;
    readonly rank: number;
    readonly adaptsAttention: boolean;
    readonly adaptsFeedForward: boolean;
  } | null;
  /** Null for attention to all tokens. */
  readonly indexer: IndexerTraits | null;
  readonly blockIndexer: BlockIndexerTraits | null;
  /** Limits of SwiGLU in dense feed-forwards; null for none. */
  readonly swigluClamp: SwigluClamp | null;
  /** Whether embeddings are normed before the first layer. */
  readonly embeddingNorm: boolean;
  /** Whether norms of heads have weights, where those of layers do. */
  readonly hasHeadNormWeights: boolean;
  /** Whether a layer's window is the chunk of positions that a query is in. */
  readonly attendsInChunks: boolean;
  /** Whether each query head has a learned logit that takes part in the softmax. */
  readonly sinkLogits: boolean;
  readonly biases: Biases;
  /** Whether what the output projection and the down projection read is normed. */
  readonly subNorms: boolean;
  readonly activation: ActivationKind;
  /** Whether the feed-forward has a gate. */
  readonly isGated: boolean;
  /** Whether q, k and v are one tensor: one after the other, or KV head by KV head, each with its queries first. */
  readonly fusedQkv: "no" | "rows" | "heads";
  /**
   * What attention's output is multiplied by, behind a sigmoid: nothing; a gate for each value, head by head in the tensor of q
   * (`fused`) or in one of its own; or a gate a head in one of its own.
   */
  readonly outputGate: "none" | "fused" | "values" | "heads";
  /** Whether gate and up are one tensor, one after the other. */
  readonly fusedGateUp: boolean;
  /** Whether rope turns neighbours (0, 1), (2, 3), … instead of the halves of a head. */
  readonly interleavesRope: boolean;
  /** Factors of embeddings, of what a block adds, and of logits. */
  readonly embeddingScale: number;
  readonly residualScale: number;
  readonly logitScale: number;
  /** Softmax scale; null for 1/√headDim. */
  readonly attentionScale: number | null;
  readonly factors: BlockFactors;
  /** Whether layers have a feed-forward behind attention or what is in its place. */
  readonly hasFeedForward: boolean;
  /** Whether the softmax scale of each layer is divided by its number, counted from 1. */
  readonly scalesByLayer: boolean;
  /** What is added to the stored weights of norms, those of heads too. */
  readonly normOffset: number;
  /** Scores and logits x become cap · tanh(x / cap); 0 for none. */
  readonly attentionSoftcap: number;
  readonly logitSoftcap: number;
}

export const LLAMA_TRAITS: Traits = {
  norm: "rms",
  norms: "before",
  parallel: "no",
  qkNorm: "none",
  hasNormWeights: true,
  perLayerInputs: null,
  layerFactor: false,
  alternatingUpdates: null,
  learnedResidualRank: 0,
  gateCutoffs: null,
  valueNorm: false,
  embeddingNorm: false,
  sharedTransformers: null,
  indexer: null,
  blockIndexer: null,
  swigluClamp: null,
  learnedPositions: false,
  transposes: false,
  hasHeadNormWeights: true,
  attendsInChunks: false,
  sinkLogits: false,
  biases: { qkv: false, output: false, feedForward: false, norm: false, head: false },
  subNorms: false,
  activation: "silu",
  isGated: true,
  fusedQkv: "no",
  outputGate: "none",
  fusedGateUp: false,
  interleavesRope: false,
  embeddingScale: 1,
  residualScale: 1,
  logitScale: 1,
  attentionScale: null,
  factors: { attentionInput: 1, mixerInput: 1, key: 1, attentionOutput: 1, gate: 1, down: 1 },
  hasFeedForward: true,
  scalesByLayer: false,
  normOffset: 0,
  attentionSoftcap: 0,
  logitSoftcap: 0,
};
