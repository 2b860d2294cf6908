/** @file Loads the weights of a layout in the order of the forward pass, and reports progress. */
import type { Ops, Weight, WeightPart, WeightType } from "../backends/ops.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { keptType } from "../weights/kept-type.ts";
import { type Branch, useOf, type WeightSpec, type Weights } from "./blocks/block.ts";
import { readWeight } from "./checkpoint-weights.ts";
import { type ModelLayout, weightSpecs } from "./layout.ts";

export interface WeightOptions {
  /**
   * Format to keep weights in; `auto` keeps them as stored. Embedding and head may get another format, see
   * `WeightFormat.embedding`.
   */
  readonly weights: WeightType | "auto";
  /** Called after each loaded weight; `total` is the number of weights to load. */
  readonly onWeight?: (name: string, done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface LoadedBranch {
  readonly branch: Branch;
  readonly norm: Weight;
  readonly weights: Weights;
}

export interface LoadedWeights {
  readonly embedding: Weight;
  readonly layers: readonly (readonly LoadedBranch[])[];
  readonly finalNorm: Weight;
  /** The embedding itself when the head is tied to it. */
  readonly head: Weight;
  /** Bytes of all weights on the backend; a tied head counts once. */
  readonly numBytes: number;
}

export async function loadWeights(
  ops: Ops,
  checkpoint: Checkpoint,
  layout: ModelLayout,
  options: WeightOptions,
): Promise<LoadedWeights> {
  let total = 0;
  for (const _ of weightSpecs(layout)) total++;
  let done = 0;
  let numBytes = 0;
  const load = async ({ role, tensors }: WeightSpec): Promise<Weight> => {
    options.signal?.throwIfAborted();
    const parts: WeightPart[] = [];
    for (const { name } of tensors) {
      const part = await readWeight(checkpoint, name);
      // Biases of stacked projections become columns of width 1, so that they stack like the rows they belong to.
      parts.push(role === "bias" ? { ...part, rows: part.rows * part.cols, cols: 1 } : part);
    }
    const stored = parts.map(({ dtype }) => dtype);
    const weight = ops.loadWeight(parts, keptType(useOf(role), stored, options.weights));
    numBytes += weight.numBytes;
    options.onWeight?.(tensors[0]!.name, ++done, total);
    return weight;
  };
  const embedding = await load(layout.embedding);
  const layers: LoadedBranch[][] = [];
  for (const branches of layout.layers) {
    const loaded: LoadedBranch[] = [];
    for (const branch of branches) {
      const norm = await load(branch.norm);
      const weights: Record<string, Weight> = {};
      for (const [name, spec] of Object.entries(branch.block.weights)) weights[name] = await load(spec);
      loaded.push({ branch, norm, weights });
    }
    layers.push(loaded);
  }
  const finalNorm = await load(layout.finalNorm);
  const head = layout.head ? await load(layout.head) : embedding;
  return { embedding, layers, finalNorm, head, numBytes };
}
