/** @file The layer of Llama and its relatives: attention, then a gated feed-forward, each behind an RMS norm. */
import { attention } from "../blocks/attention.ts";
import { type Branch, norm } from "../blocks/block.ts";
import { denseFeedForward } from "../blocks/dense-feed-forward.ts";
import type { ModelConfig } from "../model-config.ts";

export function preNormLayer(config: ModelConfig, layer: number): Branch[] {
  const { hiddenSize, numHeads, numKvHeads, headDim, intermediateSize, rmsNormEps, rope } = config;
  const prefix = `model.layers.${layer}.`;
  return [
    {
      norm: norm(`${prefix}input_layernorm.weight`, hiddenSize),
      block: attention(`${prefix}self_attn.`, {
        hiddenSize,
        numHeads,
        numKvHeads,
        headDim,
        slidingWindow: config.slidingWindow(layer),
        hasBias: config.attentionBias,
        qkNorm: config.qkNorm,
        normEps: rmsNormEps,
        rope,
      }),
    },
    {
      norm: norm(`${prefix}post_attention_layernorm.weight`, hiddenSize),
      block: denseFeedForward(`${prefix}mlp.`, hiddenSize, intermediateSize),
    },
  ];
}
