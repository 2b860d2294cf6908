/** @file Models whose layers are a running mean and a feed-forward, with attention in every second one. */
import { denseLayer, streamNorm } from "../../../src/models/families/dense-layer.ts";
import type { Family } from "../../../src/models/families/family.ts";

import { runningMean } from "./running-mean.ts";

export const runningMeanFamily: Family = {
  modelType: "running_mean",
  summary: "a running mean in every layer",
  slidingWindow: "none",
  defaults: { tieWordEmbeddings: true },
  branches: (config, layer) => {
    const [attention, feedForward] = denseLayer(config, layer);
    const prefix = `model.layers.${layer}.`;
    const mean = {
      norm: streamNorm(config, `${prefix}mean_layernorm`),
      block: runningMean(`${prefix}mean.`, config.hiddenSize),
    };
    return layer % 2 === 0 ? [mean, feedForward!] : [attention!, mean, feedForward!];
  },
};
