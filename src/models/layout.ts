/** @file The layout of a model, made from its config: the blocks of each layer, and the weights before and after the layers. */
import type { StateShape } from "../cache/states/state-shape.ts";
import { type Branch, matrix, norm, type TensorSpec, type WeightSpec } from "./blocks/block.ts";
import type { ModelConfig } from "./model-config.ts";
import { familyOf } from "./registry.ts";

export interface ModelLayout {
  readonly embedding: WeightSpec;
  /** The branches of each layer, in order. */
  readonly layers: readonly (readonly Branch[])[];
  readonly finalNorm: WeightSpec;
  /** null when the head is tied to the embedding. */
  readonly head: WeightSpec | null;
}

const embeddingNamed = (name: string, config: ModelConfig): WeightSpec => ({
  role: "embedding",
  tensors: [matrix(name, config.vocabSize, config.hiddenSize)],
});

/** The layout of a config that `parseModelConfig` accepted. */
export function layoutOf(config: ModelConfig): ModelLayout {
  const family = familyOf(config.modelType, "config.json");
  return {
    embedding: embeddingNamed("model.embed_tokens.weight", config),
    layers: Array.from({ length: config.numLayers }, (_, layer) => family.branches(config, layer)),
    finalNorm: norm("model.norm.weight", config.hiddenSize),
    head: config.tieWordEmbeddings ? null : embeddingNamed("lm_head.weight", config),
  };
}

/** Every weight of a layer in the order of the forward pass. */
export function layerWeights(branches: readonly Branch[]): WeightSpec[] {
  return branches.flatMap(({ norm, block }) => [norm, ...Object.values(block.weights)]);
}

/** Every weight of the model in the order of the forward pass. */
export function* weightSpecs(layout: ModelLayout): Generator<WeightSpec> {
  yield layout.embedding;
  for (const branches of layout.layers) yield* layerWeights(branches);
  yield layout.finalNorm;
  if (layout.head) yield layout.head;
}

/** Every tensor that the model reads from its checkpoint, by name. */
export function tensorSpecs(layout: ModelLayout): Map<string, TensorSpec> {
  const tensors = new Map<string, TensorSpec>();
  for (const spec of weightSpecs(layout)) for (const tensor of spec.tensors) tensors.set(tensor.name, tensor);
  return tensors;
}

/** Number of parameters in all tensors of the model; a tied head counts once. */
export function numParameters(layout: ModelLayout): number {
  let sum = 0;
  for (const { shape } of tensorSpecs(layout).values()) sum += shape.reduce((product, size) => product * size, 1);
  return sum;
}

/** The states that one sequence keeps, in the order of the layers, each with the layer it belongs to. */
export function stateShapes(layout: ModelLayout): { readonly shape: StateShape; readonly layer: number }[] {
  return layout.layers.flatMap((branches, layer) =>
    branches.flatMap(({ block }) => (block.state ? { shape: block.state, layer } : [])),
  );
}

/** f32 values a row takes in each buffer of a step: the residual stream, its norm, and the scratch of the layers' blocks. */
export function bufferWidths(layers: ModelLayout["layers"], hiddenSize: number): Record<string, number> {
  const widths: Record<string, number> = { hidden: hiddenSize, normed: hiddenSize };
  for (const branches of layers) {
    for (const { block } of branches) {
      for (const [name, width] of Object.entries(block.scratch)) widths[name] = Math.max(widths[name] ?? 0, width);
    }
  }
  return widths;
}
