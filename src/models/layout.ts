/** @file The layout of a model, made from its config: the blocks of each layer, and the weights before and after the layers. */
import type { Ability } from "../backends/capabilities.ts";
import type { StateShape } from "../cache/states/state-shape.ts";
import { type KeptKind, layerKinds } from "../quant/layer-kinds.ts";
import {
  type Branch,
  bias,
  matrix,
  type Norm,
  type Prologue,
  type Streams,
  type TensorSpec,
  type WeightSpec,
} from "./blocks/block.ts";
import { CHOSEN_TOKENS } from "./blocks/chosen-tokens.ts";
import { keptEmbeddings } from "./blocks/kept-embeddings.ts";
import { perLayerInputs } from "./blocks/per-layer-input.ts";
import { denseLayer, perLayerShape, streamNorm } from "./families/dense-layer.ts";
import type { ModelConfig } from "./model-config.ts";
import { familyOf } from "./registry.ts";

export interface ModelLayout {
  readonly embedding: WeightSpec;
  /** Factor of a token's row of the embedding. */
  readonly embeddingScale: number;
  /** Added to the embeddings by position; null for none. */
  readonly positions: WeightSpec | null;
  /** Of the embeddings, before the layers; null for embeddings as they are. */
  readonly embeddingNorm: Norm | null;
  /** Null when layers read nothing but the stream. */
  readonly prologue: Prologue | null;
  /** Null for one residual stream. */
  readonly streams: Streams | null;
  /** Buffers besides the stream that layers read which layers before them have filled, or the prologue, with the values of a row. */
  readonly handed: readonly { readonly name: string; readonly width: number }[];
  /** The branches of each layer, in order. */
  readonly layers: readonly (readonly Branch[])[];
  /** Null where the head reads the stream as it is. */
  readonly finalNorm: Norm | null;
  /** null when the head is tied to the embedding. */
  readonly head: WeightSpec | null;
  readonly headBias: WeightSpec | null;
}

const embeddingNamed = (name: string, config: ModelConfig): WeightSpec => ({
  role: "embedding",
  tensors: [matrix(name, config.vocabSize, config.hiddenSize)],
});

/** The layout of a config that `parseModelConfig` accepted. */
export function layoutOf(config: ModelConfig): ModelLayout {
  const { names, traits, numLayers, vocabSize } = config;
  const prologue = prologueOf(config);
  const family = familyOf(config.modelType, "config.json");
  const own = config.assemble?.(config);
  const branches = own?.branches ?? ((layer: number) => (family.branches ?? denseLayer)(config, layer));
  return {
    embedding: embeddingNamed(`${names.embedding}.weight`, config),
    // The stream is kept divided by the factor of what blocks add; see `streamNorm`.
    embeddingScale: traits.embeddingScale / traits.residualScale,
    positions: traits.learnedPositions
      ? {
          role: "embedding",
          tensors: [matrix(`${names.positions}.weight`, config.maxPositionEmbeddings, config.hiddenSize)],
        }
      : null,
    embeddingNorm: traits.embeddingNorm ? streamNorm(config, names.embeddingNorm) : null,
    prologue,
    streams: own?.streams ?? null,
    handed: [
      ...(prologue ? [prologue.output] : []),
      ...(traits.indexer ? [{ name: CHOSEN_TOKENS, width: traits.indexer.count }] : []),
    ],
    layers: Array.from({ length: numLayers }, (_, layer) => branches(layer)),
    finalNorm: own?.hasFinalNorm === false ? null : scaled(streamNorm(config, names.finalNorm), traits.logitScale),
    head: config.tieWordEmbeddings ? null : embeddingNamed(`${names.head}.weight`, config),
    headBias: traits.biases.head ? bias([[`${names.head}.bias`, vocabSize]]) : null,
  };
}

function prologueOf(config: ModelConfig): Prologue | null {
  if (config.traits.perLayerInputs) return perLayerInputs(perLayerShape(config));
  return config.traits.sharedTransformers ? keptEmbeddings(config.hiddenSize) : null;
}

/** Logits are linear in the final norm, so their factor is one of its weights. */
function scaled(norm: Norm, scale: number): Norm {
  if (scale === 1) return norm;
  return { ...norm, weight: { ...norm.weight, scale }, bias: norm.bias && { ...norm.bias, scale } };
}

const normWeights = ({ weight, bias }: Norm): WeightSpec[] => (bias ? [weight, bias] : [weight]);

/** Every weight of a layer in the order of the forward pass. */
export function layerWeights(branches: readonly Branch[]): WeightSpec[] {
  return branches.flatMap(({ streams, norm, block, postNorm, factor }) => [
    ...Object.values(streams?.weights ?? {}),
    ...(norm ? normWeights(norm) : []),
    ...Object.values(block.weights),
    ...(postNorm ? normWeights(postNorm) : []),
    ...(factor ? [factor] : []),
  ]);
}

/** The weights before the layers in the order of the forward pass. */
export function startWeights({ embedding, positions, embeddingNorm, prologue, streams }: ModelLayout): WeightSpec[] {
  return [
    embedding,
    ...(positions ? [positions] : []),
    ...(embeddingNorm ? normWeights(embeddingNorm) : []),
    ...Object.values(prologue?.weights ?? {}),
    ...Object.values(streams?.begin.weights ?? {}),
  ];
}

/** The weights behind the layers in the order of the forward pass. */
export function endWeights({ streams, finalNorm, head, headBias }: ModelLayout): WeightSpec[] {
  return [
    ...Object.values(streams?.end.weights ?? {}),
    ...(finalNorm ? normWeights(finalNorm) : []),
    ...(head ? [head] : []),
    ...(headBias ? [headBias] : []),
  ];
}

/** Every weight of the model in the order of the forward pass. */
export function* weightSpecs(layout: ModelLayout): Generator<WeightSpec> {
  yield* startWeights(layout);
  for (const branches of layout.layers) yield* layerWeights(branches);
  yield* endWeights(layout);
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

/** Layers that read another layer's keys and values, each with the layer that has them. */
export function sharedStates(layout: ModelLayout): { readonly layer: number; readonly of: number }[] {
  return layout.layers.flatMap((branches, layer) =>
    branches.flatMap(({ block }) => (block.state?.kind === "shared" ? { layer, of: block.state.layer } : [])),
  );
}

/** The states that one sequence keeps, in the order of the layers, each with the layer it belongs to; of shared ones, that of the layer that has it. */
export function stateShapes(layout: ModelLayout): { readonly shape: StateShape; readonly layer: number }[] {
  return layout.layers.flatMap((branches, layer) =>
    branches.flatMap(({ block: { state } }) => (state && state.kind !== "shared" ? { shape: state, layer } : [])),
  );
}

/** The kinds of what each layer keeps of its own for each token. */
export const layerKindsOf = (layout: ModelLayout): KeptKind[][] =>
  layerKinds(
    stateShapes(layout).flatMap(({ shape, layer }) => (shape.kind === "kv" ? { shape, layer } : [])),
    layout.layers.length,
  );

/** What blocks need that not all backends have, each once. */
export function abilitiesOf(layout: ModelLayout): Ability[] {
  return [...new Set(layout.layers.flatMap((branches) => branches.flatMap(({ block }) => block.needs ?? [])))];
}

/** Index in the model of the layer of each attention that has keys and values of its own, in order. */
export function attentionLayersOf(layout: ModelLayout): number[] {
  return stateShapes(layout).flatMap(({ shape, layer }) => (shape.kind === "kv" && !shape.isIndex ? layer : []));
}

/** f32 values a row takes in each buffer of a step: the residual stream, its norm, and the scratch of the layers' blocks. */
export function bufferWidths(
  layers: ModelLayout["layers"],
  hiddenSize: number,
  { prologue, streams, handed }: Pick<ModelLayout, "prologue" | "streams" | "handed">,
): Record<string, number> {
  const widths: Record<string, number> = { hidden: hiddenSize, normed: hiddenSize };
  const add = (scratch: Readonly<Record<string, number>>): void => {
    for (const [name, width] of Object.entries(scratch)) widths[name] = Math.max(widths[name] ?? 0, width);
  };
  if (prologue) add(prologue.scratch);
  add(Object.fromEntries(handed.map(({ name, width }) => [name, width])));
  if (streams) {
    const all = streams.count * hiddenSize;
    add({ streams: all, gatheredStreams: all });
    add(streams.begin.scratch);
    add(streams.end.scratch);
  }
  for (const branches of layers) {
    for (const { streams: own, norm, block, postNorm, isBeside } of branches) {
      if (isBeside && norm) add({ besideNormed: hiddenSize });
      if (postNorm) add({ added: hiddenSize });
      if (own) add(own.scratch);
      add(block.scratch);
    }
  }
  return widths;
}
