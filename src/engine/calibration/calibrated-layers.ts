/** @file Which layers of a model a calibration is made of, and why a model can have none. */
import { layoutOf } from "../../models/layout.ts";
import type { ModelConfig } from "../../models/model-config.ts";

/** A layer with keys and values of its own. */
export interface CalibratedLayer {
  /** Its number in the model. */
  readonly layer: number;
  /** Name of the tensor that attention's output is multiplied by. */
  readonly output: string;
}

/** The layers that have keys and values, or in a few words why a calibration cannot be made of this model. */
export function calibratedLayers(config: ModelConfig): readonly CalibratedLayer[] | string {
  if (config.latent) return "latent attention has no keys and values of heads";
  const found = layoutOf(config).layers.flatMap((branches, layer) =>
    branches.flatMap(({ block }) =>
      block.state?.kind === "kv" ? { layer, state: block.state, output: block.weights["output"]?.tensors[0] } : [],
    ),
  );
  if (found.some(({ state }) => state.isIndex)) return "keys of an indexer lie beside those of attention";
  if (found.length === 0) return "there is no layer with keys and values";
  const { numHeads } = config;
  const hasZeros = found.some(({ layer, state: { headDim, valueDim = headDim }, output }) => {
    const isWider = output && !output.isTransposed && numHeads * valueDim !== output.shape[1];
    return isWider || headDim !== config.attentionOf(layer).headDim;
  });
  // Moments of coordinates that are always zero cannot be inverted.
  if (hasZeros) return "heads of this width are cached with zeros behind them";
  const named = found.flatMap(({ layer, output }) =>
    output && !output.isTransposed ? { layer, output: output.name } : [],
  );
  return named.length === found.length ? named : "the output projections are stored in another way";
}
