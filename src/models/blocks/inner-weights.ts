/** @file The weights of blocks that a block is made of, among its own: their names have that of the inner block before them. */
import type { Weight } from "../../backends/ops.ts";
import type { Block, WeightSpecs, Weights } from "./block.ts";

/** The weights of an inner block, for the block around it. */
export const innerSpecs = (inner: string, weights: WeightSpecs): WeightSpecs =>
  Object.fromEntries(Object.entries(weights).map(([name, spec]) => [`${inner}.${name}`, spec]));

/** What the block around it says of the inner block's `attentionOutput`. */
export const innerOutput = (inner: string, { attentionOutput = "output" }: Block): Pick<Block, "attentionOutput"> => ({
  attentionOutput: `${inner}.${attentionOutput}`,
});

/** The way back: what `innerSpecs` named, by the inner block's names. */
export const innerWeights = (inner: string, weights: Weights): Record<string, Weight> =>
  Object.fromEntries(
    Object.entries(weights).flatMap(([name, weight]) =>
      name.startsWith(`${inner}.`) ? [[name.slice(inner.length + 1), weight] as const] : [],
    ),
  );
