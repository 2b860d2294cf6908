/** @file The layer of a transformer: attention, or what the family has in its place, and a feed-forward, dense or of experts, with norms where the family has them. */
import { alternatingInput, alternatingUpdates } from "../blocks/alternating-updates.ts";
import { attention } from "../blocks/attention.ts";

import { type Block, type Branch, type Norm, norm, plainNorm, withOffset } from "../blocks/block.ts";

import { denseFeedForward } from "../blocks/dense-feed-forward.ts";
import { expertFeedForward } from "../blocks/expert-feed-forward.ts";
import { learnedResidual } from "../blocks/learned-residual.ts";
import { mixtureBeside, ROUTER_INPUT } from "../blocks/mixture-beside.ts";
import { type PerLayerShape, perLayerInput } from "../blocks/per-layer-input.ts";
import type { ModelConfig } from "../model-config.ts";

export function denseLayer(config: ModelConfig, layer: number): Branch[] {
  const { traits, names } = config;
  const prefix = `${names.layers}${layer}.`;
  const branches = transformerBranches(config, layer);
  const alternating = traits.alternatingUpdates && {
    ...{ hiddenSize: config.hiddenSize, normEps: config.normEps },
    ...traits.alternatingUpdates,
  };
  if (alternating) branches.unshift({ ...branches.shift()!, streams: alternatingUpdates(prefix, alternating) });
  if (traits.perLayerInputs) {
    branches.push({
      norm: null,
      block: perLayerInput(prefix, layer, perLayerShape(config)),
      postNorm: rowsNorm(config, `${prefix}${names.perLayerPostNorm}`),
      ...(alternating && { streams: alternatingInput(prefix, alternating), replaces: true }),
    });
  }
  if (traits.layerFactor) branches.push({ ...branches.pop()!, factor: norm(`${prefix}${names.layerFactor}`, 1) });
  return branches;
}

/** What inputs of layers are made of, in a model that has them. */
export function perLayerShape({
  hiddenSize,
  numLayers,
  normEps,
  traits,
  vocabSize: numTokens,
}: ModelConfig): PerLayerShape {
  const { width, vocabSize } = traits.perLayerInputs!;
  return { hiddenSize, numLayers, vocabSize, numTokens, width, normEps, activation: traits.activation };
}

/** Attention and feed-forward. */
function transformerBranches(config: ModelConfig, layer: number): Branch[] {
  const { hiddenSize, numHeads, traits, names, normEps } = config;
  const prefix = `${names.layers}${layer}.`;
  const before = (name: string): Norm => streamNorm(config, `${prefix}${name}`);
  const after = (name: string): Norm => rowsNorm(config, `${prefix}${name}`);
  const blocks = {
    mixer:
      config.mixer(layer, prefix) ??
      attention(prefix, {
        hiddenSize,
        numHeads,
        ...config.attentionOf(layer),
        slidingWindow: config.slidingWindow(layer),
        traits,
        normEps,
        rope: config.ropeOf(layer),
        names,
      }),
    feedForward: feedForward(config, layer),
  };
  if (traits.parallel !== "no") {
    const own = traits.parallel === "own" ? before(names.feedForwardNorm) : null;
    return [
      { norm: before(names.attentionNorm), block: blocks.mixer },
      { norm: own, block: blocks.feedForward, isBeside: true },
    ];
  }
  const hasBefore = traits.norms !== "after";
  const hasAfter = traits.norms !== "before";
  const mixer = {
    norm: hasBefore ? before(names.attentionNorm) : null,
    block: blocks.mixer,
    ...(hasAfter && { postNorm: after(names.attentionPostNorm) }),
  };
  if (!traits.hasFeedForward) return [mixer];
  const rank = traits.learnedResidualRank;
  const residual: Branch[] =
    rank > 0 ? [{ norm: null, block: learnedResidual(prefix, { hiddenSize, rank, normEps }), isBeside: true }] : [];
  // A mixture beside the feed-forward reads rows before their norms.
  const isBeside = config.expertsOf(layer)?.beside !== undefined;
  return [
    mixer,
    ...residual,
    {
      norm: hasBefore && !isBeside ? before(names.feedForwardNorm) : null,
      block: blocks.feedForward,
      ...(hasAfter && { postNorm: after(names.feedForwardPostNorm) }),
    },
  ];
}

/** The feed-forward of a layer: a mixture of experts where the config has one, else a dense one, or both beside each other. */
function feedForward(config: ModelConfig, layer: number): Block {
  const { hiddenSize, traits, names, normEps } = config;
  const intermediateSize = config.intermediateOf(layer);
  const prefix = `${names.layers}${layer}.`;
  const experts = config.expertsOf(layer);
  const mixture = { hiddenSize, experts: experts!, normEps, names };
  if (experts && !experts.beside) return expertFeedForward(prefix, mixture);
  const cutoff = traits.gateCutoffs?.[layer] ?? null;
  const dense = denseFeedForward(prefix, { hiddenSize, intermediateSize, traits, normEps, names, cutoff });
  if (!experts?.beside) return dense;
  const besideDense = expertFeedForward(prefix, { ...mixture, routerInput: ROUTER_INPUT });
  const shape = { hiddenSize, normEps, denseNorm: names.feedForwardNorm, beside: experts.beside };
  return mixtureBeside(prefix, dense, besideDense, shape);
}

/**
 * A norm of the residual stream. The stream is kept divided by the factor of what blocks add, so that blocks add what they make;
 * norms do not depend on such a factor if their epsilon has its square.
 */
export function streamNorm(config: ModelConfig, name: string): Norm {
  return { ...rowsNorm(config, name), eps: config.normEps / config.traits.residualScale ** 2 };
}

/** A norm of what a block adds. */
function rowsNorm({ hiddenSize, normEps, traits }: ModelConfig, name: string): Norm {
  const isBiased = traits.biases.norm;
  const weight = traits.hasNormWeights ? norm(`${name}.weight`, hiddenSize) : plainNorm(hiddenSize);
  return {
    kind: traits.norm,
    weight: withOffset(weight, traits.normOffset),
    bias: isBiased ? norm(`${name}.bias`, hiddenSize) : null,
    eps: normEps,
  };
}
