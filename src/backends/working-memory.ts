/** @file What a backend allocates besides weights, activations and KV pages, for a given load. Memory plans add it up. */
import type { RotationKind } from "../quant/kv-format.ts";
import type { BackendName, WeightType } from "./ops.ts";

/** Backends whose memory can be planned; the reference backend is for checking only. */
export type PlannedBackend = Exclude<BackendName, "reference">;

/** The largest load that the memory must carry. */
export interface Load {
  /** Tokens of the longest step. */
  readonly rows: number;
  /** Sequences decoded at once. */
  readonly sequences: number;
  /** Tokens of the longest sequence. */
  readonly tokens: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  /** Columns of the widest matrix. */
  readonly widestInput: number;
  /** Shapes of the matrices that every row of a step is multiplied with: all but embeddings and the head. */
  readonly matrices: readonly { readonly rows: number; readonly cols: number }[];
  readonly weights: WeightType;
  /** Of every layer's calibration in its cache format (`preparedBytes`); 0 without one. */
  readonly calibrationBytes: number;
  readonly rotation: RotationKind;
}
