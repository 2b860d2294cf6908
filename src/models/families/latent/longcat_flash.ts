/** @file LongCat Flash: two times latent attention and a feed-forward a layer, and a mixture of experts past the second half. */
import type { Branch } from "../../blocks/block.ts";
import { denseFeedForward } from "../../blocks/dense-feed-forward.ts";
import { type ExpertTraits, expertFeedForward } from "../../blocks/expert-feed-forward.ts";
import { addingHeld, held } from "../../blocks/held-output.ts";
import { latentAttention } from "../../blocks/latent-attention.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { ModelConfig } from "../../model-config.ts";
import { streamNorm } from "../dense-layer.ts";
import type { Family } from "../family.ts";
import { expertSizes, MLP_EXPERTS, SOFTMAX_ROUTER, swigluExperts } from "../readers/expert-fields.ts";

const MAX_LAYERS = 1024;
const MAX_IDENTITIES = 1024;
/** The scratch buffer of what experts give, until the end of the layer. */
const EXPERTS_OUTPUT = "shortcutOutput";

/** Files have it as `num_layers`, or count each half as a layer. */
function numLayersOf(config: ConfigFields): number {
  if (config.has("num_layers") || !config.has("num_hidden_layers")) return config.integer("num_layers", 1, MAX_LAYERS);
  const halves = config.integer("num_hidden_layers", 2, 2 * MAX_LAYERS);
  if (halves % 2 !== 0) throw config.invalid("num_hidden_layers", "an even number, as each layer has two halves");
  return halves / 2;
}

/** What scales its latents needs both. */
function requireQueryRank(config: ConfigFields): void {
  if (config.mentions("q_lora_rank") && !config.has("q_lora_rank"))
    throw config.unsupported("q_lora_rank", "queries without a latent are not supported in this family");
}

function branches(config: ModelConfig, layer: number): Branch[] {
  const { hiddenSize, numHeads, intermediateSize, traits, names, normEps } = config;
  const latent = config.latent!;
  const prefix = `${names.layers}${layer}.`;
  const rope = config.ropeOf(layer);
  const scaleOf = (rank: number): number => Math.sqrt(hiddenSize / rank);
  const norm = (name: string) => streamNorm(config, `${prefix}${name}`);
  const attention = (half: number): Branch => ({
    norm: norm(`input_layernorm.${half}`),
    block: latentAttention(`${prefix}self_attn.${half}.`, {
      ...{ ...latent, hiddenSize, numHeads, rope },
      queryScale: scaleOf(latent.queryRank!),
      kvScale: scaleOf(latent.kvRank),
    }),
  });
  const feedForward = (half: number): Branch => ({
    norm: norm(`post_attention_layernorm.${half}`),
    block: denseFeedForward(prefix, {
      ...{ hiddenSize, intermediateSize, traits, normEps },
      names: {
        ...names,
        ...{ gate: `mlps.${half}.gate_proj`, up: `mlps.${half}.up_proj`, down: `mlps.${half}.down_proj` },
      },
    }),
  });
  const mixture = expertFeedForward(prefix, { hiddenSize, experts: config.expertsOf(layer)!, normEps, names });
  const last = feedForward(1);
  return [
    attention(0),
    feedForward(0),
    { norm: null, block: held(mixture, EXPERTS_OUTPUT, hiddenSize), isBeside: true },
    attention(1),
    { ...last, block: addingHeld(last.block, EXPERTS_OUTPUT, hiddenSize) },
  ];
}

export const longcatFlash: Family = {
  modelType: "longcat_flash",
  summary:
    "two latent attentions and two feed-forwards a layer; a mixture of experts, some of which give what they read, from the first half to the end",
  slidingWindow: "none",
  fields: { intermediate_size: "ffn_hidden_size" },
  numLayers: numLayersOf,
  defaults: {
    numHeads: 64,
    vocabSize: 131_072,
    maxPosition: 131_072,
    intermediateSize: 12_288,
    theta: 1e7,
    normEps: 1e-5,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  latent: { kvRank: 512, queryRank: 1536, nopeDim: 128, ropeDim: 64, valueDim: 128, interleave: true },
  experts(config, sizes) {
    const identityType = config.string("zero_expert_type", "identity");
    if (identityType !== "identity") throw config.unsupported("zero_expert_type", "expected identity");
    for (const field of ["mla_scale_q_lora", "mla_scale_kv_lora"]) {
      if (!config.boolean(field, true)) throw config.unsupported(field, "expected true");
    }
    requireQueryRank(config);
    const hasBias = config.boolean("router_bias", false);
    if (hasBias)
      throw config.unsupported("router_bias", "expected false: Transformers does not compute with this bias");
    const widths = expertSizes(config, { numExperts: 512, topK: 12, width: 2048 }, "expert_ffn_hidden_size");
    const experts: ExpertTraits = {
      ...widths,
      ...swigluExperts(sizes),
      numIdentities: config.integer("zero_expert_num", 0, MAX_IDENTITIES - widths.numExperts, 256),
      router: { ...SOFTMAX_ROUTER, scale: config.number("routed_scaling_factor", 0, 1e6, 6) },
      names: [{ ...MLP_EXPERTS, router: "mlp.router.classifier", choiceBias: "mlp.router.e_score_correction_bias" }],
    };
    return () => experts;
  },
  branches,
};
