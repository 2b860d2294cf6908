/** @file Which layers of a model a calibration is made of, and why a model can have none. */
import { TurboQuantError } from "../../errors.ts";
import { layoutOf } from "../../models/layout.ts";
import type { ModelConfig } from "../../models/model-config.ts";
import { storedDim } from "../../quant/head-dim.ts";

/** A layer with keys and values of its own. */
export interface CalibratedLayer {
  /** Its number in the model. */
  readonly layer: number;
  /** Name of the tensor that attention's output is multiplied by. */
  readonly output: string;
  /** Whether it is stored as [numHeads·valueDim][hidden]. */
  readonly isTransposed: boolean;
  /** Matrices in it: 1, or those of experts, each of which has one head for each KV head. */
  readonly numExperts: number;
  /** Coordinates of a key and of a value, without the zeros that pages have behind them. */
  readonly headDim: number;
  readonly valueDim: number;
}

/** The layers that have keys and values, or in a few words why a calibration cannot be made of this model. */
export function calibratedLayers(config: ModelConfig): readonly CalibratedLayer[] | string {
  if (config.latent) return "latent attention has no keys and values of heads";
  const found = layoutOf(config).layers.flatMap((branches, layer) =>
    branches.flatMap(({ block }) =>
      block.state?.kind === "kv"
        ? { layer, state: block.state, output: block.weights[block.attentionOutput ?? "output"]?.tensors[0] }
        : [],
    ),
  );
  if (found.some(({ state }) => state.isOneRow))
    return "rows that are keys and values at once have no heads of their own";
  if (found.some(({ state }) => state.isIndex)) return "keys of an indexer lie beside those of attention";
  if (found.length === 0) return "there is no layer with keys and values";
  const named = found.flatMap(({ layer, state, output }) => {
    const { headDim } = config.attentionOf(layer);
    if (!output) return [];
    const { name, shape, isTransposed = false } = output;
    const isOfExperts = shape.length === 3;
    const width = isOfExperts ? shape[2]! : shape[isTransposed ? 0 : 1]!;
    const valueDim = width / (isOfExperts ? state.numKvHeads : config.numHeads);
    const isPlain = storedDim(headDim) === state.headDim && storedDim(valueDim) === (state.valueDim ?? state.headDim);
    return isPlain
      ? { layer, output: name, isTransposed, numExperts: isOfExperts ? shape[0]! : 1, headDim, valueDim }
      : [];
  });
  return named.length === found.length ? named : "the output projections are not those of its heads";
}

/** @throws TurboQuantError unsupported — a calibration cannot be made of this model */
export function requireCalibratedLayers(config: ModelConfig): readonly CalibratedLayer[] {
  const found = calibratedLayers(config);
  if (typeof found !== "string") return found;
  throw new TurboQuantError(
    "unsupported",
    `calibrate: ${found}, so there is nothing to calibrate (${config.modelType}); run it with calibration=off`,
    { model: config.modelType },
  );
}
