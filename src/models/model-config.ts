/** @file The checked contents of a config.json. */
import type { RopeConfig } from "./rope.ts";

export interface ModelConfig {
  readonly modelType: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly intermediateSize: number;
  readonly rmsNormEps: number;
  /** Whether the output head is the embedding matrix. */
  readonly tieWordEmbeddings: boolean;
  /** The context length the model is meant for, rope scaling included. */
  readonly maxPositionEmbeddings: number;
  /** Whether the heads of Q and K have an RMS norm. */
  readonly qkNorm: boolean;
  /** Whether the q, k and v projections have biases. */
  readonly attentionBias: boolean;
  /** Positions a token of the layer attends to, its own included; 0 for all. */
  slidingWindow(layer: number): number;
  readonly rope: RopeConfig;
  readonly bosTokenId: number | null;
  /** Each of these tokens ends a generation; generation_config.json may name more. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
}
