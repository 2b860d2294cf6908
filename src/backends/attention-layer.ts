/** @file Attention as operations are told of it. */
import type { LayerCache } from "../cache/layer-cache.ts";
import type { PreparedLayer } from "../quant/prepared-layer.ts";
import type { Buf, Weight } from "./buffers.ts";

/**
 * The tokens that each row attends to: `count` positions of its sequence, ascending, as numbers of f32, and -1 behind the last. A row has one list
 * for all heads, or one for each KV head. Where a sequence up to the row's own token has no more than `count`, the list has all of them.
 */
export interface ChosenTokens {
  readonly positions: Buf;
  readonly count: number;
  readonly lists: number;
}

/** Blocks of neighbouring tokens, which are chosen as wholes by their best one (MiniMax M3). */
export interface TokenBlocks {
  /** Tokens of a block. */
  readonly size: number;
  /** Number of blocks that are chosen; the list of a row has room for all their tokens. */
  readonly count: number;
  /** The last blocks, that of the row's own token included, which are always among them. */
  readonly local: number;
}

/** Neighbouring tokens that have one key together and are chosen as wholes, and those behind the last whole row of them, which always are (Qwen 4). */
export interface TokenRuns {
  /** Tokens of a row of the indexer, as `AttentionLayer.tokensPerRow` says. */
  readonly size: number;
  /** Number of rows that are chosen; the list of a token has room for all their tokens and for size − 1 more. */
  readonly count: number;
}

/** The first position that a layer's query at this one attends to. */
export function firstKey(
  { slidingWindow, isChunked }: Pick<AttentionLayer, "slidingWindow" | "isChunked">,
  position: number,
): number {
  if (slidingWindow === 0) return 0;
  return isChunked ? position - (position % slidingWindow) : Math.max(0, position - slidingWindow + 1);
}

/** What attention of one layer needs besides activations. */
export interface AttentionLayer {
  readonly index: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  /** Coordinates of queries and keys. */
  readonly headDim: number;
  /** Coordinates of values and of what attention returns. */
  readonly valueDim: number;
  /**
   * Of latent attention: coordinates of the rotary key part, which queries have behind the others. Keys are then values too, of the only KV
   * head, and only `appendLatent` stores them. 0 for ordinary attention.
   */
  readonly rotaryKeyDim: number;
  /** Layouts of the layer's pages, the same in the cache of every sequence of a step. */
  readonly cache: LayerCache;
  /** Cache format and calibration of the layer, and what backends keep for them. */
  readonly kv: PreparedLayer;
  /** Number of positions to attend to, the query's own included; 0 for all. */
  readonly slidingWindow: number;
  /** Whether positions are cut into chunks of that many, and a query attends to those of its own chunk up to its own. */
  readonly isChunked?: boolean;
  /**
   * Tokens that one stored row stands for; a query sees the rows whose last token it sees. Only `appendLatent` stores such rows, and there is no sliding
   * window. Absent: 1.
   */
  readonly tokensPerRow?: number;
  /** Softmax scale, usually 1/√headDim. */
  readonly scale: number;
  /** What attention returns is multiplied by it (MiMo), usually 1. */
  readonly valueScale: number;
  /** Scores become softcap · tanh(score / softcap) after the scale (Gemma 2); 0 for scores as they are. */
  readonly softcap: number;
  /** A learned logit for each query head that takes part in the softmax and has no value (gpt-oss), [numHeads] f32; null for none. */
  readonly sinkLogits: Weight | null;
  /** Index of the rope for Q and K among those given to `beginStep`. */
  readonly rope: number;
  /** Weights of the RMS norm on heads of Q and K (Qwen3), [headDim]. */
  readonly qNorm: Weight | null;
  readonly kNorm: Weight | null;
  /** Whether Q and K are normed behind RoPE (Hunyuan); absent: before it. */
  readonly normsTurned?: boolean;
  /** Weights of the RMS norm on heads of V (Gemma 4), [valueDim]; absent: none. */
  readonly vNorm?: Weight | null;
  /**
   * Whether keys and values are those of another layer, which has appended them in the same step (Gemma 4): rows are queries alone,
   * `index` is the other layer's, and `kv` is made of it.
   */
  readonly isShared?: boolean;
  readonly normEps: number;
}
