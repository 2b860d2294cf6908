/** @file Zamba2: Mamba-2 layers, before some of which one of a few shared transformer blocks runs, with adapters of that use's own. */
import { attention } from "../../blocks/attention.ts";
import type { Branch } from "../../blocks/block.ts";
import { denseFeedForward } from "../../blocks/dense-feed-forward.ts";
import { held, readingHeld } from "../../blocks/held-output.ts";
import { lowRankAdapter } from "../../blocks/low-rank-adapter.ts";
import { sharedTransformer } from "../../blocks/shared-transformer.ts";
import { stateSpace } from "../../blocks/state-space.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { ModelConfig } from "../../model-config.ts";
import { LLAMA_TRAITS, type Traits } from "../../traits.ts";
import { streamNorm } from "../dense-layer.ts";
import type { Family } from "../family.ts";
import { expanded, type MambaFields, parseStateSpace } from "../readers/mamba-fields.ts";

const MAX_WIDTH = 2 ** 20;
const MAX_HEADS = 4096;
const MAX_RANK = 2 ** 16;
/** Of the norm in Mamba-2 layers, whatever the config says of the others. */
const MAMBA_EPS = 1e-5;
/** The scratch buffer of what a shared block makes. */
const SHARED_OUTPUT = "sharedOutput";

const FIELDS: MambaFields = {
  heads: ["n_mamba_heads", 8],
  headDim: ["mamba_headdim", "auto"],
  groups: ["mamba_ngroups", 1],
  stateSize: ["mamba_d_state", 64],
  kernel: "mamba_d_conv",
  convolutionBias: "use_conv_bias",
  projectionBias: "add_bias_linear",
  activation: "mamba_hidden_act",
};

/** Kinds of layers by the names of Transformers 4 and 5. */
const MAMBA = ["mamba", "linear_attention"];
const HYBRID = "hybrid";

/** The layers before whose Mamba-2 a shared block runs, in order. */
function hybridLayers(config: ConfigFields, numLayers: number): number[] {
  const field = config.has("layers_block_type") ? "layers_block_type" : "layer_types";
  const kinds = config.raw(field) ?? DEFAULT_KINDS;
  const isSound =
    Array.isArray(kinds) &&
    kinds.length === numLayers &&
    kinds.every((kind) => MAMBA.includes(kind) || kind === HYBRID);
  if (!isSound) throw config.invalid(field, `a list of ${numLayers} of mamba and hybrid, one a layer`);
  return kinds.flatMap((kind, layer) => (kind === HYBRID ? [layer] : []));
}

const mambas = (count: number): string[] => Array.from({ length: count }, () => "mamba");
const DEFAULT_KINDS = [
  ...mambas(1),
  ...Array.from({ length: 7 }, () => [...mambas(5), HYBRID]).flat(),
  ...[...mambas(4), HYBRID, ...mambas(3), HYBRID, ...mambas(2)],
];

function sharedTransformers(config: ConfigFields): NonNullable<Traits["sharedTransformers"]> {
  const adaptsAttention = config.boolean("use_shared_attention_adapter", false);
  const numHeads = config.integer("num_attention_heads", 1, MAX_HEADS, 32);
  if (adaptsAttention && config.integer("num_key_value_heads", 1, MAX_HEADS, numHeads) !== numHeads)
    throw config.unsupported("use_shared_attention_adapter", "expected as many KV heads as query heads with adapters");
  return {
    layers: hybridLayers(config, config.integer("num_hidden_layers", 1, 1024, 54)),
    count: config.integer("num_mem_blocks", 1, 1024, 1),
    rank: config.integer("adapter_rank", 1, MAX_RANK, 128),
    adaptsAttention,
    adaptsFeedForward: config.boolean("use_shared_mlp_adapter", true),
  };
}

function branches(config: ModelConfig, layer: number): Branch[] {
  const { hiddenSize, traits, names, normEps } = config;
  const prefix = `${names.layers}${layer}.`;
  const { layers, count } = traits.sharedTransformers!;
  const use = layers.indexOf(layer);
  if (use < 0) return [{ norm: streamNorm(config, `${prefix}input_layernorm`), block: config.mixer(layer, prefix)! }];
  // Each block's tensors have the names of the first layer that uses it. Where embeddings are not tied, Transformers ties none of these either.
  const owner = config.tieWordEmbeddings ? layers[use % count] : layer;
  const shared = `${names.layers}${owner}.shared_transformer.`;
  const transformer = sharedTransformer(shared, {
    ...{ hiddenSize, normEps, output: `${prefix}linear.weight` },
    ...sharedBlocks(config, layer, shared, use),
  });
  const decoder = `${prefix}mamba_decoder.`;
  const norm = streamNorm(config, `${decoder}input_layernorm`);
  const mamba = config.mixer(layer, decoder)!;
  return [
    { norm: null, block: held(transformer, SHARED_OUTPUT, hiddenSize) },
    { norm: null, block: readingHeld(mamba, SHARED_OUTPUT, hiddenSize, norm) },
  ];
}

/** Attention and feed-forward of a shared block, with the adapters of one of its uses. */
function sharedBlocks(config: ModelConfig, layer: number, shared: string, use: number) {
  const { hiddenSize, numHeads, numKvHeads, headDim, intermediateSize, traits, names, normEps } = config;
  const { rank, adaptsAttention, adaptsFeedForward } = traits.sharedTransformers!;
  const adapterOf = (name: string): string => `${shared}${name}_adapter_list.${use}`;
  const inputs = 2 * hiddenSize;
  const ofAttention = ["q", "k", "v"].map((of) => adapterOf(`self_attn.linear_${of}`));
  const ofFeedForward = [adapterOf("feed_forward.gate_up_proj")];
  return {
    attention: attention(shared, {
      ...{ hiddenSize: inputs, outputSize: hiddenSize },
      ...{ numHeads, numKvHeads, headDim, slidingWindow: 0, traits, normEps, names, rope: config.ropeOf(layer) },
      adapter: adaptsAttention
        ? lowRankAdapter({ inputs, rank, outputs: numHeads * headDim, parts: ofAttention })
        : null,
    }),
    feedForward: denseFeedForward(shared, {
      ...{ hiddenSize, intermediateSize, traits, normEps, names },
      adapter: adaptsFeedForward
        ? lowRankAdapter({ inputs: hiddenSize, rank, outputs: 2 * intermediateSize, parts: ofFeedForward })
        : null,
    }),
  };
}

export const zamba2: Family = {
  modelType: "zamba2",
  summary:
    "Mamba-2; before some layers a transformer block that they share, on the stream and the embeddings, with adapters for each use",
  slidingWindow: "none",
  otherLayerTypes: [...MAMBA, HYBRID],
  fields: { head_dim: "attention_head_dim" },
  defaults: {
    numHeads: 32,
    vocabSize: 32_000,
    maxPosition: 4096,
    normEps: 1e-5,
    hiddenAct: "gelu",
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: true,
  },
  // Whatever a file says: heads read twice the hidden size.
  published: (config) => ({
    attention_head_dim:
      (2 * config.integer("hidden_size", 1, MAX_WIDTH)) / config.integer("num_attention_heads", 1, MAX_HEADS, 32),
  }),
  intermediateSize: (config) =>
    config.integer("intermediate_size", 1, MAX_WIDTH, 4 * config.integer("hidden_size", 1, MAX_WIDTH)),
  names: {
    finalNorm: "model.final_layernorm",
    gateUp: "feed_forward.gate_up_proj",
    down: "feed_forward.down_proj",
  },
  hasRope: (config) => config.boolean("use_mem_rope", false),
  traits(config) {
    if (config.boolean("use_long_context", false) && config.boolean("use_mem_rope", false))
      throw config.unsupported(
        "use_long_context",
        "rope that is stretched in this way is not supported; expected false",
      );
    const headDim = config.number("head_dim", 1, MAX_WIDTH);
    return {
      sharedTransformers: sharedTransformers(config),
      fusedGateUp: true,
      attentionScale: 1 / Math.sqrt(headDim / 2),
      biases: { ...LLAMA_TRAITS.biases, feedForward: config.boolean("add_bias_linear", false) },
    };
  },
  mixer(config, context) {
    const inner = expanded(config, context.hiddenSize, "mamba_expand");
    const mamba = parseStateSpace(config, { ...context, normEps: MAMBA_EPS }, FIELDS, inner);
    const shape = {
      ...mamba,
      biases: { ...mamba.biases, convolution: true },
      minStep: config.number("time_step_min", 0, 1e3, 0.001),
      maxStep: Number.POSITIVE_INFINITY,
    };
    return (_, prefix) => stateSpace(`${prefix}mamba.`, shape);
  },
  branches,
};
