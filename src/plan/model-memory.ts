/** @file What a memory plan needs to know of a model: its matrices and its layers with a KV cache. */
import type { WeightType } from "../backends/ops.ts";
import type { LayerShape } from "../cache/states/state-shape.ts";
import type { WeightUse } from "../weights/kept-type.ts";

/** A matrix as it lies on a backend; several of the checkpoint's may be stacked. Vectors (norms, biases) have one row. */
export interface PlannedWeight {
  /** Tensors of the checkpoint that it is made of; empty when only its size is known. */
  readonly names: readonly string[];
  readonly rows: number;
  readonly cols: number;
  /** What it is used for, which decides in which format it is kept. */
  readonly use: WeightUse;
  /** How many of the same shape there are. */
  readonly count: number;
}

export interface PlannedLayer extends LayerShape {
  /** Positions that the layer attends to; 0 for all. */
  readonly slidingWindow: number;
  /** Its number among all layers of the model, which is what a spec's `layers=` counts; its index where all have K and V. */
  readonly modelLayer?: number;
}

export interface PlannedModel {
  readonly name: string;
  readonly modelType: string;
  /** Whether this package runs it; if not, `assumptions` say what the arithmetic rests on. */
  readonly runs: boolean;
  readonly assumptions: readonly string[];
  /** Layers that keep K and V. */
  readonly layers: readonly PlannedLayer[];
  /** All layers, those without K and V as well; as many as `layers` where absent. */
  readonly numLayers?: number;
  /** Bytes of the states of a sequence whose size does not depend on its length; none where absent. */
  readonly fixedStateBytes?: number;
  readonly hiddenSize: number;
  readonly numHeads: number;
  /** f32 values a token in the activation buffers; of all experts that a token uses. */
  readonly activationWidth: number;
  readonly vocabSize: number;
  readonly maxPositionEmbeddings: number;
  readonly weights: readonly PlannedWeight[];
  /** Type of the stored matrices: from the config, or of each tensor from the headers. */
  readonly storedType: WeightType;
  /** False where the checkpoint carries no KV calibration of its own; absent where nobody looked. */
  readonly isCalibrated?: boolean;
  readonly storedTypeOf?: ReadonlyMap<string, WeightType>;
}
