/**
 * @file DeepSeek-V4: several residual streams, attention to one row a token in a window and to compressed rows of all tokens, which an indexer may choose
 * among; mixtures of experts, of the first layers by the numbers of tokens.
 */
import type { RouterScore } from "../../../backends/experts.ts";
import { MAX_STREAMS } from "../../../backends/stream-mix.ts";
import { requireSilu } from "../../activation-names.ts";
import type { Branch } from "../../blocks/block.ts";
import { compressor } from "../../blocks/compressor.ts";
import { entryIndexer, INDEX_ROWS } from "../../blocks/entry-indexer.ts";
import type { ExpertTraits } from "../../blocks/expert-feed-forward.ts";
import { hyperConnection, hyperStreams } from "../../blocks/hyper-connection.ts";
import { ENTRY_ROWS, entryAttention, type RowAttentionShape, windowAttention } from "../../blocks/row-attention.ts";
import type { ConfigFields } from "../../config-fields.ts";
import { MAX_POSITION } from "../../config-fields.ts";
import type { Assembly, ModelConfig } from "../../model-config.ts";
import { rotaryDimOf } from "../../rope.ts";
import { denseLayer } from "../dense-layer.ts";
import type { Family } from "../family.ts";
import { expertSizes, swigluExperts } from "../readers/expert-fields.ts";

const MAX_WIDTH = 2 ** 20;
const MAX_COUNT = 2 ** 20;
const MAX_HEADS = 4096;
const HEAD_DIM = 512;
const ROPE_DIM = 64;
const WINDOW = 128;
const INDEX_TOP_K = 512;
const EXPERT_WIDTH = 2048;
const NUM_HASHED = 3;

const SLIDING = "sliding_attention";
const SPARSE = "compressed_sparse_attention";
const HEAVY = "heavily_compressed_attention";
/** Tokens of a row, by the type of a layer, where a config does not say, and in the lists of published files. */
const RATES: Readonly<Record<string, number>> = { [SLIDING]: 0, [SPARSE]: 4, [HEAVY]: 128 };
const LEGACY_RATES: Readonly<Record<string, string>> = { [SPARSE]: "compress_rate_csa", [HEAVY]: "compress_rate_hca" };
/** Fields for what is read of a config more than once; no file has them. */
const [TYPES, EXPERTS_BY] = ["attention_types", "experts_by"];

const numLayersOf = (config: ConfigFields): number => config.integer("num_hidden_layers", 1, 1024);

/** One of `known` for each layer: those that the file lists, of which there may be more, as for layers that predict further tokens. */
function listOf(config: ConfigFields, field: string, known: readonly string[], usual: readonly string[]): string[] {
  const numLayers = numLayersOf(config);
  const listed = config.raw(field) ?? usual;
  const isSound = Array.isArray(listed) && listed.length >= numLayers && listed.every((type) => known.includes(type));
  if (!isSound) throw config.invalid(field, `a list of ${numLayers} times ${known.join(" or ")}, one a layer`);
  return (listed as string[]).slice(0, numLayers);
}

function attentionTypes(config: ConfigFields): string[] {
  const numLayers = numLayersOf(config);
  const known = [SLIDING, SPARSE, HEAVY];
  const ratios = config.raw("compress_ratios");
  if (ratios === undefined || config.has("layer_types")) {
    const usual = Array.from({ length: numLayers }, (_, layer) => (layer > 2 && layer % 2 === 1 ? SPARSE : HEAVY));
    return listOf(config, "layer_types", known, usual);
  }
  const types = Array.isArray(ratios) ? ratios.map((ratio) => known.find((type) => RATES[type] === ratio)) : [];
  if (types.length < numLayers || types.includes(undefined))
    throw config.invalid("compress_ratios", `a list of ${numLayers} times 0, 4 or 128, one a layer`);
  return (types as string[]).slice(0, numLayers);
}

function expertsBy(config: ConfigFields): string[] {
  const numHashed = config.integer("num_hash_layers", 0, 1024, NUM_HASHED);
  const usual = Array.from({ length: numLayersOf(config) }, (_, layer) => (layer < numHashed ? "hash_moe" : "moe"));
  return listOf(config, "mlp_layer_types", ["hash_moe", "moe"], usual);
}

/** The ropes of layers with a window alone, and of those with compressed rows. */
function ropesOf(config: ConfigFields): Record<string, unknown> {
  const headDim = config.integer("head_dim", 2, MAX_WIDTH, HEAD_DIM);
  const turned = config.has("qk_rope_head_dim") ? config.integer("qk_rope_head_dim", 2, headDim) / headDim : undefined;
  const partial = config.number("partial_rotary_factor", 0, 1, turned ?? ROPE_DIM / HEAD_DIM);
  const given = config.object(config.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  if (given?.has("main") && given.has("compress"))
    return { sliding_attention: given.raw("main"), full_attention: given.raw("compress") };
  const scaling = Object.fromEntries((given?.names() ?? []).map((name) => [name, given!.raw(name)]));
  const type = scaling["rope_type"] ?? scaling["type"] ?? "default";
  return {
    sliding_attention: {
      ...{ rope_type: "default", partial_rotary_factor: partial },
      rope_theta: config.number("rope_theta", 1.001, 1e15, 1e4),
    },
    full_attention: {
      // Published code does not multiply cos and sin by YaRN's factor.
      ...{ ...(type === "yarn" && { attention_factor: 1 }), ...scaling, rope_type: type },
      rope_theta: config.number("compress_rope_theta", 1.001, 1e15, 160_000),
      partial_rotary_factor: partial,
    },
  };
}

function published(config: ConfigFields): Record<string, unknown> {
  const types = attentionTypes(config);
  return {
    [TYPES]: types,
    [EXPERTS_BY]: expertsBy(config),
    layer_types: types.map((type) => (type === SLIDING ? SLIDING : "full_attention")),
    rope_parameters: ropesOf(config),
  };
}

const listed = (config: ConfigFields, field: string): readonly string[] => config.raw(field) as readonly string[];

/** Tokens of a compressed row of layers of a type. The older fields count before the newer one, as in Transformers. */
function rateOf(config: ConfigFields, type: string): number {
  const rates = config.object("compress_rates", {})!;
  return config.integer(LEGACY_RATES[type]!, 2, MAX_COUNT, rates.integer(type, 2, MAX_COUNT, RATES[type]!));
}

function assemble(fields: ConfigFields): (config: ModelConfig) => Assembly {
  const types = listed(fields, TYPES);
  const window = fields.integer("sliding_window", 1, MAX_POSITION, WINDOW);
  for (const field of ["attention_bias", "mlp_bias"])
    if (fields.boolean(field, false)) throw fields.unsupported(field, "expected false: published models have none");
  const streams = {
    count: fields.integer("hc_mult", 2, MAX_STREAMS, 4),
    iterations: fields.integer("hc_sinkhorn_iters", 1, 1000, 20),
    epsilon: fields.number("hc_eps", 0, 1, 1e-6),
  };
  const numHeads = fields.integer("num_attention_heads", 1, MAX_HEADS, 64);
  const groups = fields.integer("o_groups", 1, MAX_HEADS, 8);
  if (numHeads % groups !== 0) throw fields.invalid("o_groups", `a divisor of num_attention_heads (${numHeads})`);
  const sizes = {
    queryRank: fields.integer("q_lora_rank", 2, MAX_WIDTH, 1024),
    outputRank: fields.integer("o_lora_rank", 2, MAX_WIDTH, 1024),
  };
  const indexer = {
    numHeads: fields.integer("index_n_heads", 2, MAX_HEADS, 64),
    headDim: fields.integer("index_head_dim", 2, MAX_WIDTH, 128),
    count: fields.integer("index_topk", 1, MAX_COUNT, INDEX_TOP_K),
  };
  const rates = Object.fromEntries([SPARSE, HEAVY].map((type) => [type, rateOf(fields, type)]));
  return (config) => {
    const { hiddenSize, headDim, normEps, names } = config;
    const hyper = { ...streams, hiddenSize, normEps };
    const attentionOf = (layer: number, prefix: string): Branch[] => {
      const rope = config.ropeOf(layer);
      const ropeDim = rotaryDimOf(rope, headDim);
      const type = types[layer]!;
      const shape: RowAttentionShape = {
        ...{ hiddenSize, numHeads, headDim, ropeDim, rope, groups, normEps, ...sizes },
        slidingWindow: window,
      };
      const beside = { norm: null, isBeside: true } as const;
      if (type === SLIDING)
        return [{ norm: null, block: windowAttention(prefix, shape, { hasQueryLatent: false, isWhole: true }) }];
      const tokensPerRow = rates[type]!;
      const isSparse = type === SPARSE;
      const of = { hiddenSize, tokensPerRow, series: isSparse ? 2 : 1 } as const;
      const attention: Branch[] = [
        { ...beside, block: windowAttention(prefix, shape, { hasQueryLatent: isSparse, isWhole: false }) },
        { ...beside, block: entryAttention(prefix, shape, { tokensPerRow, chosen: isSparse ? indexer.count : null }) },
      ];
      const entries: Branch = {
        norm: null,
        block: compressor(`${prefix}compressor.`, { ...of, width: headDim }, ENTRY_ROWS),
      };
      if (!isSparse) return [entries, ...attention];
      if (indexer.headDim < ropeDim)
        throw fields.unsupported("index_head_dim", `expected at least the ${ropeDim} coordinates that rope turns`);
      const own = { ...indexer, hiddenSize, queryRank: sizes.queryRank, ropeDim, rope, tokensPerRow, normEps };
      return [
        entries,
        {
          ...beside,
          block: compressor(`${prefix}indexer.compressor.`, { ...of, width: indexer.headDim }, INDEX_ROWS),
        },
        { ...beside, block: entryIndexer(prefix, { ...own, isIndex: true }) },
        ...attention,
      ];
    };
    return {
      streams: hyperStreams(`${names.layers.replace("layers.", "")}hc_head.hc_`, hyper),
      branches: (layer) => {
        const prefix = `${names.layers}${layer}.`;
        const [usual, feedForward] = denseLayer(config, layer) as [Branch, Branch];
        const [first, ...others] = attentionOf(layer, `${prefix}attn.`);
        const attention = [
          { ...first!, norm: usual.norm, streams: hyperConnection(`${prefix}hc_attn_`, hyper) },
          ...others,
        ];
        const last = attention.pop()!;
        return [
          ...attention,
          { ...last, replaces: true },
          { ...feedForward, replaces: true, streams: hyperConnection(`${prefix}hc_ffn_`, hyper) },
        ];
      },
    };
  };
}

const SCORES: readonly RouterScore[] = ["sqrtsoftplus", "sigmoid"];

function scoreOf(config: ConfigFields): RouterScore {
  const name = config.string("scoring_func", "sqrtsoftplus");
  const score = SCORES.find((known) => known === name);
  if (!score) throw config.unsupported("scoring_func", `expected one of ${SCORES.join(", ")}`);
  return score;
}

export const deepseekV4: Family = {
  modelType: "deepseek_v4",
  summary:
    "several residual streams mixed by doubly stochastic matrices; one row a token that is key and value, in a window, and compressed rows of all tokens, perhaps chosen by an indexer; output projections of groups of heads; a mixture of experts: the root of softplus with a bias for the choice, or by token",
  slidingWindow: "all",
  defaults: {
    numHeads: 64,
    numKvHeads: 1,
    headDim: HEAD_DIM,
    vocabSize: 129_280,
    maxPosition: 1_048_576,
    slidingWindow: WINDOW,
    partialRotaryFactor: ROPE_DIM / HEAD_DIM,
    bosTokenId: 0,
    eosTokenId: 1,
    tieWordEmbeddings: false,
  },
  names: { attentionNorm: "attn_norm", feedForwardNorm: "ffn_norm" },
  numKvHeads(config) {
    if (config.integer("num_key_value_heads", 1, MAX_HEADS, 1) !== 1)
      throw config.unsupported("num_key_value_heads", "expected one row for all heads");
    return 1;
  },
  published,
  // No layer has a dense feed-forward.
  intermediateSize: (config) => config.integer("moe_intermediate_size", 1, MAX_WIDTH, EXPERT_WIDTH),
  attentionOf(config, layer) {
    if (listed(config, TYPES)[layer] !== SPARSE) return {};
    return { chosen: { count: config.integer("index_topk", 1, MAX_COUNT, INDEX_TOP_K), lists: 1 } };
  },
  experts(config) {
    requireSilu(config, "hidden_act", "experts with limits");
    if (config.integer("n_shared_experts", 0, 1024, 1) !== 1)
      throw config.unsupported("n_shared_experts", "expected one feed-forward that all tokens go through");
    const limit = config.number("swiglu_limit", 1e-6, 1e6, 10);
    const own = expertSizes(config, { numExperts: 256, topK: 6, width: EXPERT_WIDTH });
    const experts: ExpertTraits = {
      ...own,
      ...swigluExperts({ numLayers: numLayersOf(config), activation: "silu" }),
      activation: { kind: "silu", isGated: true, clamp: { limit, slope: 1, offset: 0 } },
      router: {
        score: scoreOf(config),
        scoresChosen: false,
        groups: null,
        normalizes: true,
        epsilon: 1e-20,
        scale: config.number("routed_scaling_factor", 0, 1e6, 1.5),
        jitter: 0,
      },
      shared: {
        width: own.width,
        names: {
          ...{ gate: "ffn.shared_experts.w1", up: "ffn.shared_experts.w3" },
          down: "ffn.shared_experts.w2",
        },
      },
      names: [{ router: "ffn.gate", experts: "ffn.experts", gate: "w1", up: "w3", down: "w2" }],
    };
    const chosen: ExpertTraits = { ...experts, names: [{ ...experts.names[0]!, choiceBias: "ffn.gate.bias" }] };
    const vocabSize = config.integer("vocab_size", 1, 2 ** 24, 129_280);
    const hashed: ExpertTraits = { ...experts, byToken: { name: "ffn.gate.tid2eid", vocabSize } };
    const by = listed(config, EXPERTS_BY);
    return (layer) => (by[layer] === "hash_moe" ? hashed : chosen);
  },
  assemble,
};
