/** @file Kimi Linear: Kimi delta attention in most layers, latent attention without rope in the others, and mixtures of experts. */
import { alsoNamed, type Branch } from "../../blocks/block.ts";
import type { ConfigFields } from "../../config-fields.ts";
import { denseLayer } from "../dense-layer.ts";
import type { Family } from "../family.ts";
import { BLOCK_SPARSE_EXPERTS, deepseekExperts, sharedExperts } from "../readers/expert-fields.ts";
import { isSparseLayer, KIMI_FIELDS, kimiDeltaMixer, kimiDeltaShape } from "../readers/kimi-delta-fields.ts";

const MAX_LAYERS = 1024;

/** Layers that published files list, counted from 1. */
function listed(config: ConfigFields, name: string): number[] {
  const layers = config.raw(name);
  if (!Array.isArray(layers) || !layers.every(Number.isInteger))
    throw config.invalid(name, "a list of layers, counted from 1");
  return layers;
}

/** Types of layers by the two lists of `linear_attn_config`, or where there is none each fourth behind the first with attention. */
function layerTypes(numLayers: number, config: ConfigFields | undefined): string[] {
  const layers = Array.from({ length: numLayers }, (_, layer) => layer);
  if (!config?.has("full_attn_layers") && !config?.has("kda_layers"))
    return layers.map((layer) => (layer > 0 && layer % 4 === 0 ? "full_attention" : "linear_attention"));
  const [full, linear] = [listed(config, "full_attn_layers"), listed(config, "kda_layers")];
  return layers.map((layer) => {
    const isFull = full.includes(layer + 1);
    if (isFull === linear.includes(layer + 1))
      throw config.invalid("kda_layers", `each layer in one of it and full_attn_layers, as layer ${layer + 1} is not`);
    return isFull ? "full_attention" : "linear_attention";
  });
}

export const kimiLinear: Family = {
  modelType: "kimi_linear",
  summary:
    "Kimi delta attention in most layers, latent attention without rope in the others; behind the first layers mixtures of experts: sigmoid, a bias for the choice, in groups, with shared experts",
  slidingWindow: "none",
  defaults: {
    numHeads: 32,
    vocabSize: 163_840,
    maxPosition: 1_048_576,
    intermediateSize: 9216,
    normEps: 1e-5,
    bosTokenId: 163_584,
    eosTokenId: 163_586,
    tieWordEmbeddings: false,
  },
  isNeverTied: true,
  hasRope: () => false,
  latent: { kvRank: 512, queryRank: null, nopeDim: 128, ropeDim: 64, valueDim: 128, interleave: false },
  fields: KIMI_FIELDS,
  published(config) {
    const linear = config.object("linear_attn_config");
    const numLayers = config.integer("num_hidden_layers", 1, MAX_LAYERS);
    const fields = {
      linear_head_dim: "head_dim",
      linear_num_heads: "num_heads",
      linear_conv_kernel_dim: "short_conv_kernel_size",
    };
    const own = Object.entries(fields).filter(([, name]) => linear?.has(name));
    return {
      ...Object.fromEntries(own.map(([field, name]) => [field, linear!.raw(name)])),
      ...(!config.has("layer_types") && { layer_types: layerTypes(numLayers, linear) }),
      // Files may say something of rope, which no layer has.
      rope_parameters: null,
      rope_scaling: null,
    };
  },
  mixer(config, context) {
    if (!config.boolean("mla_use_nope", true))
      throw config.unsupported("mla_use_nope", "latent attention with rope is not supported");
    const shape = kimiDeltaShape(config, context, { numHeads: 32, headDim: 128 });
    return kimiDeltaMixer(config, context, {
      prefix: "self_attn.",
      delta: { ...shape, gateRank: shape.headDim, decayBound: null },
      deltaTensors: { decay: ["f_a_proj", "f_b_proj"], gate: ["g_a_proj", "g_b_proj"], output: "o_proj" },
      latentTensors: { output: "o_proj" },
    });
  },
  experts(config, sizes) {
    const score = config.string("moe_router_activation_func", "sigmoid");
    if (score !== "sigmoid") throw config.unsupported("moe_router_activation_func", "expected sigmoid");
    const experts = deepseekExperts(config, sizes, { numExperts: 256, topK: 8, width: 1024, scale: 2.446 });
    const own = {
      ...experts,
      shared: sharedExperts(config, experts.width, 1, "block_sparse_moe.shared_experts"),
      names: [{ ...BLOCK_SPARSE_EXPERTS, choiceBias: "block_sparse_moe.gate.e_score_correction_bias" }],
    };
    const isSparse = isSparseLayer(config, sizes.numLayers, 1);
    return (layer) => (isSparse(layer) ? own : null);
  },
  branches(config, layer) {
    const [mixer, feedForward] = denseLayer(config, layer) as [Branch, Branch];
    if (config.expertsOf(layer)) return [mixer, feedForward];
    // Transformers saves dense feed-forwards under the name of mixtures.
    const block = alsoNamed(feedForward.block, (name) => name.replace(".mlp.", ".block_sparse_moe."));
    return [mixer, { ...feedForward, block }];
  },
};
