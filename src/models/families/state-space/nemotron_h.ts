/** @file Nemotron-H: layers of one block each, which is Mamba-2, attention without rope, or a feed-forward of ReLU² without a gate, dense or of experts. */
import { parseActivation } from "../../activation-names.ts";
import { denseFeedForward, type FeedForwardShape } from "../../blocks/dense-feed-forward.ts";
import { type ExpertTraits, expertFeedForward } from "../../blocks/expert-feed-forward.ts";
import type { ExpertNames } from "../../blocks/expert-tensors.ts";
import { stateSpace } from "../../blocks/state-space.ts";
import type { ConfigFields } from "../../config-fields.ts";
import { LLAMA_NAMES } from "../../tensor-names.ts";
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";
import { expertSizes, routerGroups } from "../readers/expert-fields.ts";
import { type MambaFields, parseStateSpace } from "../readers/mamba-fields.ts";

type Kind = "mamba" | "attention" | "feedForward" | "experts";

/** By the letters of `hybrid_override_pattern`, and by the names in lists. */
const KINDS: Readonly<Record<string, Kind>> = {
  M: "mamba",
  mamba: "mamba",
  linear_attention: "mamba",
  "*": "attention",
  attention: "attention",
  full_attention: "attention",
  "-": "feedForward",
  mlp: "feedForward",
  E: "experts",
  moe: "experts",
};

const FIELDS: MambaFields = {
  heads: ["mamba_num_heads", 128],
  headDim: ["mamba_head_dim", 64],
  groups: ["n_groups", 8],
  stateSize: ["ssm_state_size", 128],
  kernel: "conv_kernel",
  convolutionBias: "use_conv_bias",
  projectionBias: "use_bias",
  activation: "mamba_hidden_act",
};

const NAMES = {
  embedding: "backbone.embeddings",
  finalNorm: "backbone.norm_f",
  layers: "backbone.layers.",
  attentionNorm: "norm",
  q: "mixer.q_proj",
  k: "mixer.k_proj",
  v: "mixer.v_proj",
  output: "mixer.o_proj",
  up: "mixer.up_proj",
  down: "mixer.down_proj",
};

const EXPERT_NAMES: ExpertNames = {
  router: "mixer.gate",
  choiceBias: ["mixer.gate.e_score_correction_bias"],
  experts: "mixer.experts",
  gate: "gate_proj",
  up: "up_proj",
  down: "down_proj",
};

const MAX_WIDTH = 2 ** 20;
const ACTIVATION = "relu2";
const ACTIVATION_FIELD = "mlp_hidden_act";

const intermediateSize = (config: ConfigFields): number => config.integer("intermediate_size", 1, MAX_WIDTH, 21_504);

/** Entries of the list of layers: of a list, or the letters of a pattern. */
function layersOf(config: ConfigFields): { readonly field: string; readonly entries: readonly unknown[] } {
  const field = ["layers_block_type", "layer_types", "hybrid_override_pattern"].find((name) => config.has(name));
  if (!field) throw config.invalid("layers_block_type", "a list of mamba, attention, mlp and moe, one a layer");
  const value = config.raw(field);
  if (Array.isArray(value)) return { field, entries: value };
  return { field, entries: [...config.string(field)] };
}

function kindsOf(config: ConfigFields): Kind[] {
  const { field, entries } = layersOf(config);
  const kinds = entries.map((entry) => (Object.hasOwn(KINDS, String(entry)) ? KINDS[String(entry)]! : null));
  if (!kinds.every((kind) => kind !== null))
    throw config.invalid(field, "only mamba (M), attention (*), mlp (-) and moe (E)");
  const count = config.integer("num_hidden_layers", 1, 1024, kinds.length);
  if (count !== kinds.length) throw config.invalid(field, `${count} layers, as num_hidden_layers says`);
  return kinds;
}

function expertsOf(config: ConfigFields): ExpertTraits {
  if (config.boolean("mlp_bias", false))
    throw config.unsupported("mlp_bias", "shared experts with biases are not supported; expected false");
  const own = expertSizes(config, { numExperts: 8, topK: 2, width: 7688 });
  const width = config.integer("moe_shared_expert_intermediate_size", 1, MAX_WIDTH, 7688);
  return {
    ...own,
    router: {
      score: "sigmoid",
      scoresChosen: false,
      groups: routerGroups(config, own, { count: 1, chosen: 1, by: "bestTwo" }),
      normalizes: config.boolean("norm_topk_prob", true),
      epsilon: 1e-20,
      scale: config.number("routed_scaling_factor", 0, 1e6, 1),
      jitter: 0,
    },
    biases: { router: false, experts: false },
    activation: { kind: parseActivation(config, ACTIVATION, ACTIVATION_FIELD), isGated: false },
    scalesInput: false,
    ...(config.has("moe_latent_size") && {
      latent: {
        width: config.integer("moe_latent_size", 1, MAX_WIDTH),
        ...{ down: "mixer.fc1_latent_proj", up: "mixer.fc2_latent_proj" },
      },
    }),
    shared: { width, names: { up: "mixer.shared_experts.up_proj", down: "mixer.shared_experts.down_proj" } },
    names: [EXPERT_NAMES],
    stack: { isTransposed: false, isInterleaved: false },
  };
}

export const nemotronH: Family = {
  modelType: "nemotron_h",
  summary:
    "layers of one block each: Mamba-2, attention without rope, ReLU² without a gate, or a mixture of such experts",
  slidingWindow: "none",
  defaults: {
    numHeads: 32,
    numKvHeads: 8,
    headDim: 128,
    vocabSize: 131_072,
    maxPosition: 4096,
    normEps: 1e-5,
    hiddenAct: ACTIVATION,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  isNeverTied: true,
  normEpsField: "layer_norm_epsilon",
  activationField: ACTIVATION_FIELD,
  names: NAMES,
  hasRope: () => false,
  numLayers: (config) => kindsOf(config).length,
  intermediateSize,
  // Attention has no biases, whatever `attention_bias` says.
  traits: () => ({ isGated: false, hasFeedForward: false }),
  mixer(config, context) {
    const kinds = kindsOf(config);
    // Transformers bounds steps by `time_step_min` alone, whatever `time_step_limit` says.
    const minStep = config.number("time_step_min", 0, 1e3, 0.001);
    const mamba = { ...parseStateSpace(config, context, FIELDS), minStep, maxStep: Number.POSITIVE_INFINITY };
    const feedForward: FeedForwardShape = {
      ...context,
      intermediateSize: intermediateSize(config),
      traits: {
        ...LLAMA_TRAITS,
        activation: parseActivation(config, ACTIVATION, ACTIVATION_FIELD),
        isGated: false,
        biases: { feedForward: config.boolean("mlp_bias", false) },
      },
      names: { ...LLAMA_NAMES, ...NAMES },
    };
    const experts = kinds.includes("experts")
      ? { ...context, experts: expertsOf(config), names: feedForward.names }
      : null;
    return (layer, prefix) => {
      switch (kinds[layer]) {
        case "mamba":
          return stateSpace(`${prefix}mixer.`, mamba);
        case "feedForward":
          return denseFeedForward(prefix, feedForward);
        case "experts":
          return expertFeedForward(prefix, experts!);
        default:
          return null;
      }
    };
  },
};
