/** @file Falcon-H1: attention and Mamba-2 beside each other in every layer, and factors of what blocks read and make. */
import { attention } from "../../blocks/attention.ts";
import type { Branch, Norm } from "../../blocks/block.ts";
import { denseFeedForward } from "../../blocks/dense-feed-forward.ts";
import { stateSpace } from "../../blocks/state-space.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { ModelConfig } from "../../model-config.ts";
import { streamNorm } from "../dense-layer.ts";
import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import { BAMBA_FIELDS, expanded, parseStateSpace } from "../readers/mamba-fields.ts";

const MAX_FACTOR = 1e6;

const factor = (config: ConfigFields, name: string): number => config.number(name, -MAX_FACTOR, MAX_FACTOR, 1);

function factors(config: ConfigFields, name: string, count: number): number[] {
  const values = config.raw(name) ?? Array.from({ length: count }, () => 1);
  const isSound =
    Array.isArray(values) &&
    values.length === count &&
    values.every((value) => typeof value === "number" && Math.abs(value) <= MAX_FACTOR);
  if (!isSound) throw config.invalid(name, `a list of ${count} numbers`);
  return values;
}

function layer(config: ModelConfig, index: number): Branch[] {
  const { names, traits, hiddenSize, numHeads, numKvHeads, headDim, intermediateSize, normEps } = config;
  const prefix = `${names.layers}${index}.`;
  const { mixerInput, attentionInput } = traits.factors;
  const norm = (scale: number): Norm => {
    const plain = streamNorm(config, `${prefix}${names.attentionNorm}`);
    return scale === 1 ? plain : { ...plain, weight: { ...plain.weight, scale } };
  };
  const rope = config.ropeOf(index);
  const slidingWindow = config.slidingWindow(index);
  return [
    { norm: norm(mixerInput), block: config.mixer(index, prefix)! },
    {
      norm: mixerInput === attentionInput ? null : norm(attentionInput),
      block: attention(prefix, {
        ...{ hiddenSize, numHeads, numKvHeads, headDim, slidingWindow, traits, normEps, rope, names },
      }),
      isBeside: true,
    },
    {
      norm: streamNorm(config, `${prefix}${names.feedForwardNorm}`),
      block: denseFeedForward(prefix, { hiddenSize, intermediateSize, traits, normEps, names }),
    },
  ];
}

export const falconH1: Family = {
  modelType: "falcon_h1",
  summary: "attention and Mamba-2 beside each other in every layer; factors of what blocks read and make",
  slidingWindow: "none",
  defaults: {
    numHeads: 32,
    numKvHeads: 8,
    vocabSize: 128_000,
    maxPosition: 8192,
    normEps: 1e-5,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  names: {
    finalNorm: "model.final_layernorm",
    feedForwardNorm: "pre_ff_layernorm",
    gate: "feed_forward.gate_proj",
    up: "feed_forward.up_proj",
    down: "feed_forward.down_proj",
  },
  traits(config) {
    const [gate, down] = factors(config, "mlp_multipliers", 2);
    return {
      ...configuredBiases(config),
      embeddingScale: factor(config, "embedding_multiplier"),
      logitScale: factor(config, "lm_head_multiplier"),
      factors: {
        mixerInput: factor(config, "ssm_in_multiplier"),
        attentionInput: factor(config, "attention_in_multiplier"),
        key: factor(config, "key_multiplier"),
        attentionOutput: factor(config, "attention_out_multiplier"),
        gate: gate!,
        down: down!,
      },
    };
  },
  mixer(config, context) {
    const inner = config.has("mamba_d_ssm")
      ? config.integer("mamba_d_ssm", 1, 2 ** 20)
      : config.mentions("mamba_d_ssm")
        ? expanded(config, context.hiddenSize, "mamba_expand")
        : 1024;
    const shape = parseStateSpace(config, context, BAMBA_FIELDS, inner);
    const [gate, x, b, c, step] = factors(config, "ssm_multipliers", 5) as [number, number, number, number, number];
    const isNormed = config.boolean("mamba_rms_norm", false);
    const isBefore = config.boolean("mamba_norm_before_gate", true);
    return (_, prefix) =>
      stateSpace(`${prefix}mamba.`, {
        ...shape,
        biases: { ...shape.biases, output: config.boolean("projectors_bias", false) },
        norm: isNormed ? (isBefore ? "beforeGate" : "behindGate") : "none",
        factors: { gate, x, b, c, step, output: factor(config, "ssm_out_multiplier") },
      });
  },
  branches: layer,
};
