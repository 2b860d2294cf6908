/** @file MiniMax M3: attention over blocks of tokens that an indexer chooses for each KV head; a mixture of experts, SwiGLU with limits throughout. */
import { TurboQuantError } from "../../../errors.ts";
import { alsoNamed, type Branch } from "../../blocks/block.ts";
import { blockIndexer } from "../../blocks/block-indexer.ts";
import type { ExpertTraits } from "../../blocks/expert-feed-forward.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { ModelConfig } from "../../model-config.ts";
import { rotaryDimOf } from "../../rope.ts";
import type { BlockIndexerTraits } from "../../traits.ts";
import { denseLayer } from "../dense-layer.ts";
import type { Family } from "../family.ts";
import {
  BLOCK_SPARSE_EXPERTS,
  expertSizes,
  isSparseByType,
  MLP_EXPERTS,
  SOFTMAX_ROUTER,
  swigluExperts,
} from "../readers/expert-fields.ts";

const MAX_COUNT = 2 ** 16;
const MAX_WIDTH = 2 ** 20;
const SPARSE = "minimax_m3_sparse";
const FULL = "full_attention";

/** The fields of `sparse_attention_config` in published files, by those of Transformers. */
const PUBLISHED = {
  index_n_heads: "sparse_num_index_heads",
  index_head_dim: "sparse_index_dim",
  index_block_size: "sparse_block_size",
  index_topk_blocks: "sparse_topk_blocks",
  index_local_blocks: "sparse_local_block",
};

function published(config: ConfigFields): Record<string, unknown> {
  const sparse = config.object("sparse_attention_config");
  const fields: Record<string, unknown> = {};
  for (const [name, theirs] of Object.entries(PUBLISHED)) if (sparse?.has(theirs)) fields[name] = sparse.raw(theirs);
  const listOf = (value: unknown, [on, off]: readonly [string, string]): string[] | undefined =>
    Array.isArray(value) ? value.map((each) => (each ? on : off)) : undefined;
  const layers = listOf(sparse?.raw("sparse_attention_freq"), [SPARSE, FULL]);
  if (layers && !config.has("layer_types")) fields["layer_types"] = layers;
  const mixtures = listOf(config.raw("moe_layer_freq"), ["sparse", "dense"]);
  if (mixtures && !config.has("mlp_layer_types")) fields["mlp_layer_types"] = mixtures;
  // The gate is that of `swiglu_alpha` and `swiglu_limit`, whatever a file calls it.
  if (config.raw("hidden_act") === "swigluoai") fields["hidden_act"] = "silu";
  return fields;
}

function parseIndexer(config: ConfigFields): BlockIndexerTraits {
  const numLayers = config.integer("num_hidden_layers", 1, 1024);
  const types = config.raw("layer_types") ?? Array.from({ length: numLayers }, () => FULL);
  if (!Array.isArray(types) || types.length !== numLayers || !types.every((type) => type === FULL || type === SPARSE))
    throw config.invalid("layer_types", `a list of ${numLayers} times ${FULL} or ${SPARSE}, one a layer`);
  const numKvHeads = config.integer("num_key_value_heads", 1, 4096, 4);
  const numHeads = config.integer("index_n_heads", 1, 4096, 4);
  const choosesIn = types.map((type) => type === SPARSE);
  if (choosesIn.includes(true) && numHeads !== numKvHeads)
    throw config.unsupported("index_n_heads", `expected one for each KV head (${numKvHeads})`);
  return {
    numHeads,
    headDim: config.integer("index_head_dim", 1, 2 ** 12, 128),
    blocks: {
      size: config.integer("index_block_size", 1, MAX_COUNT, 128),
      count: config.integer("index_topk_blocks", 1, MAX_COUNT, 16),
      local: config.integer("index_local_blocks", 0, MAX_COUNT, 1),
    },
    choosesIn,
  };
}

const clampOf = (config: ConfigFields) => ({
  limit: config.number("swiglu_limit", 1e-6, 1e6, 7),
  slope: config.number("swiglu_alpha", 1e-6, 1e6, 1.702),
  offset: 1,
});

const alsoNamedSparse = (branch: Branch): Branch => ({
  ...branch,
  block: alsoNamed(branch.block, (name) => name.replace(".mlp.", ".block_sparse_moe.")),
});

function branches(config: ModelConfig, layer: number): Branch[] {
  const [attention, ...behind] = denseLayer(config, layer) as [Branch, ...Branch[]];
  // Published files call the tensors of mixtures otherwise.
  const others = config.expertsOf(layer) ? behind.map(alsoNamedSparse) : behind;
  const { choosesIn, ...indexer } = config.traits.blockIndexer!;
  if (!choosesIn[layer]) return [attention, ...others];
  const { hiddenSize, headDim, normEps, traits } = config;
  const rope = config.ropeOf(layer);
  const ropeDim = rotaryDimOf(rope, headDim);
  if (indexer.headDim <= ropeDim || indexer.headDim % 8 !== 0)
    throw new TurboQuantError(
      "unsupported",
      `index_head_dim: expected a multiple of 8 above the ${ropeDim} coordinates that rope turns, got ${indexer.headDim}`,
    );
  const block = blockIndexer(`${config.names.layers}${layer}.self_attn.`, {
    ...{ ...indexer, hiddenSize, rope, normEps, normOffset: traits.normOffset },
    ropeDim,
  });
  const named = alsoNamed(block, (name) => name.replace(".indexer.", ".index_"));
  return [{ norm: attention.norm, block: named }, { ...attention, norm: null, isBeside: true }, ...others];
}

export const minimaxM3: Family = {
  modelType: "minimax_m3_vl_text",
  summary:
    "attention over the blocks of tokens that an indexer chooses for each KV head; norms of heads, partial rope; a mixture of experts: sigmoid with a bias for the choice, SwiGLU with limits",
  slidingWindow: "none",
  defaults: {
    numHeads: 64,
    numKvHeads: 4,
    headDim: 128,
    vocabSize: 200_064,
    maxPosition: 524_288,
    theta: 5e6,
    intermediateSize: 3072,
    bosTokenId: 200_034,
    eosTokenId: 200_020,
    tieWordEmbeddings: false,
  },
  published,
  rotaryDimField: "rotary_dim",
  intermediateOf: (config) => config.integer("dense_intermediate_size", 1, MAX_WIDTH, 12_288),
  traits: (config) => ({
    qkNorm: "head",
    normOffset: 1,
    fusedGateUp: true,
    swigluClamp: clampOf(config),
    blockIndexer: parseIndexer(config),
  }),
  attentionOf(config, layer) {
    const { numHeads, blocks, choosesIn } = parseIndexer(config);
    return choosesIn[layer] ? { chosen: { count: blocks.size * blocks.count, lists: numHeads } } : {};
  },
  experts(config, sizes) {
    const sharedWidth = config.integer("shared_intermediate_size", 0, MAX_WIDTH, 3072);
    const experts: ExpertTraits = {
      ...expertSizes(config, { numExperts: 128, topK: 4, width: 3072 }, "intermediate_size"),
      ...swigluExperts(sizes),
      activation: { kind: "silu", isGated: true, clamp: clampOf(config) },
      router: {
        ...SOFTMAX_ROUTER,
        score: "sigmoid",
        normalizes: true,
        scale: config.number("routed_scaling_factor", 0, 1e6, 2),
      },
      shared:
        sharedWidth === 0
          ? null
          : {
              width: sharedWidth,
              isFused: true,
              names: {
                ...{ gateUp: "mlp.shared_experts.gate_up_proj", down: "mlp.shared_experts.down_proj" },
                ...{ gate: "mlp.shared_experts.gate_proj", up: "mlp.shared_experts.up_proj" },
              },
            },
      names: [
        { ...MLP_EXPERTS, choiceBias: ["mlp.gate.e_score_correction_bias", "mlp.e_score_correction_bias"] },
        BLOCK_SPARSE_EXPERTS,
      ],
      stack: { isTransposed: false, isInterleaved: false, isUsual: true },
    };
    const isSparse = isSparseByType(config, sizes.numLayers, 0);
    return (layer) => (isSparse(layer) ? experts : null);
  },
  branches,
};
