/** @file Models whose layers are a running mean and a feed-forward, with attention in every second one. */
import { norm } from "../../../src/models/blocks/block.ts";
import type { Family } from "../../../src/models/families/family.ts";
import { preNormLayer } from "../../../src/models/families/pre-norm-layer.ts";
import { runningMean } from "./running-mean.ts";

export const runningMeanFamily: Family = {
  modelType: "running_mean",
  qkNorm: false,
  attentionBias: "never",
  slidingWindow: "none",
  defaults: { tieWordEmbeddings: true },
  branches: (config, layer) => {
    const [attention, feedForward] = preNormLayer(config, layer);
    const prefix = `model.layers.${layer}.`;
    const mean = {
      norm: norm(`${prefix}mean_layernorm.weight`, config.hiddenSize),
      block: runningMean(`${prefix}mean.`, config.hiddenSize),
    };
    return layer % 2 === 0 ? [mean, feedForward!] : [attention!, mean, feedForward!];
  },
};
