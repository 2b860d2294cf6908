/** @file The numbers of a config.json that the engine goes by. */
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
  /** The output head is the embedding matrix. */
  readonly tieWordEmbeddings: boolean;
  /** Tokens the model is meant for, rope scaling included. */
  readonly maxPositionEmbeddings: number;
  /** RMS norm on the heads of Q and K. */
  readonly qkNorm: boolean;
  /** Biases of the q, k and v projections. */
  readonly attentionBias: boolean;
  /** Positions a layer attends to, the own included; 0 for all. */
  slidingWindow(layer: number): number;
  readonly rope: RopeConfig;
  readonly bosTokenId: number | null;
  /** Any of these ends a generation; generation_config.json may say more. */
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
}
