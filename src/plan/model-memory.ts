/** @file What a memory plan needs to know of a model: its matrices, and its layers with a KV cache. */
import type { Ability } from "../backends/capabilities.ts";
import type { WeightType } from "../backends/ops.ts";
import type { LayerShape, RecurrentShape } from "../cache/states/state-shape.ts";
import { type KeptKind, layerKinds } from "../quant/layer-kinds.ts";
import type { WeightUse } from "../weights/kept-type.ts";

/** A matrix as a backend keeps it, perhaps stacked from several tensors of the checkpoint. Vectors (norms, biases) have one row. */
export interface PlannedWeight {
  /** Tensors of the checkpoint that it is made of; empty when only the size is known. */
  readonly tensors: readonly { readonly name: string; readonly rows: number }[];
  readonly rows: number;
  readonly cols: number;
  /** What it is used for, which decides the format it is kept in. */
  readonly use: WeightUse;
  /** Rows that belong together, see `Ops.createWeight`; absent: single rows. */
  readonly unit?: number;
  /** Number of matrices of this shape. */
  readonly count: number;
  /** Index of the layer that it belongs to, the first of several; absent: it is outside of the layers, or only its size is known. */
  readonly layer?: number;
  /** All layers that have this weight in common, which is in each memory once; absent: `layer` alone. */
  readonly sharedBy?: readonly number[];
}

export interface PlannedLayer extends LayerShape {
  /** Positions that a token of the layer attends to; 0 for all. */
  readonly slidingWindow: number;
  /** Whether they are keys of an indexer, beside those of attention. */
  readonly isIndex?: true;
  /** Index among all layers of the model, as in a spec's `layers=`; absent: the index in this list, because all layers have K and V. */
  readonly modelLayer?: number;
}

export interface PlannedModel {
  readonly name: string;
  readonly modelType: string;
  /** What the arithmetic is based on. */
  readonly assumptions: readonly string[];
  /** The layers that have K and V. */
  readonly layers: readonly PlannedLayer[];
  /** Number of all layers, with and without K and V; absent: as many as `layers`. */
  readonly numLayers?: number;
  /** Layers with a state that does not grow with a sequence, and its bytes; absent: none. */
  readonly fixedStates?: readonly { readonly layer: number; readonly bytes: number }[];
  /** The delta rules of its layers, see `RecurrentShape`; absent: none. */
  readonly deltaRules?: readonly NonNullable<RecurrentShape["delta"]>[];
  /** Layers that read the keys and values of another one and take no bytes of the cache; absent: none. */
  readonly sharedLayers?: readonly { readonly layer: number; readonly of: number }[];
  /** What its blocks need that not all backends have kernels for; absent: nothing. */
  readonly needs?: readonly Ability[];
  /** Lists a row of tokens that an indexer chooses for attention; absent: attention is to all. */
  readonly chosenLists?: number;
  readonly hiddenSize: number;
  readonly numHeads: number;
  /** Number of experts that a token uses in a layer at most; absent: 1. */
  readonly expertsOfRow?: number;
  /** f32 values in the activation buffers for each token, including all experts that a token uses. */
  readonly activationWidth: number;
  readonly vocabSize: number;
  readonly maxPositionEmbeddings: number;
  readonly weights: readonly PlannedWeight[];
  /** Type of the stored matrices according to the config; `storedTypeOf` gives that of each tensor according to the headers. */
  readonly storedType: WeightType;
  /** The way in which the checkpoint is quantized, where the config alone tells. */
  readonly quantizedBy?: string;
  /** Type of embeddings and norms of which nothing is known by name, where it is another one. */
  readonly plainType?: WeightType;
  /** False when the checkpoint has no KV calibration; absent when this is unknown. */
  readonly isCalibrated?: boolean;
  readonly storedTypeOf?: ReadonlyMap<string, WeightType>;
  /** Whether the config stands in the metadata of a GGUF file; absent: in a config.json. */
  readonly isGguf?: boolean;
}

/** The kinds of what each layer keeps of its own for each token. */
export function plannedKinds({ layers, numLayers = layers.length }: PlannedModel): KeptKind[][] {
  return layerKinds(
    layers.map((shape, index) => ({ shape, layer: shape.modelLayer ?? index })),
    numLayers,
  );
}

/** Bytes of those states of a sequence that do not grow with its length. */
export const fixedStateBytes = ({ fixedStates = [] }: PlannedModel): number =>
  fixedStates.reduce((sum, { bytes }) => sum + bytes, 0);
