/** @file Qwen 4 (experimental): several residual streams, memories of n-grams, gated delta nets, attention to the tokens that an indexer chooses, mixtures of experts. */
import { MAX_STREAMS } from "../../../backends/stream-mix.ts";
import { TurboQuantError } from "../../../errors.ts";
import type { Branch } from "../../blocks/block.ts";
import { gatedResidual, gatedStreams } from "../../blocks/gated-residual.ts";
import { keyMeans, type MeanIndexerShape, meanIndexer, mostChosen } from "../../blocks/mean-indexer.ts";
import { ngramMemory } from "../../blocks/ngram-memory.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { Assembly, ModelConfig } from "../../model-config.ts";
import { rotaryDimOf } from "../../rope.ts";
import { denseLayer } from "../dense-layer.ts";
import type { Family } from "../family.ts";
import { linearLayers } from "../readers/delta-net-fields.ts";
import { qwenExperts } from "../readers/expert-fields.ts";
import { parseNgramMemories } from "../readers/ngram-fields.ts";
import { deltaNetMixer, gatedAttentionTraits } from "./qwen-hybrid.ts";
import { qwen35, splitInputs } from "./qwen3_5.ts";

const MAX_COUNT = 2 ** 20;
const MAX_HEADS = 4096;
const MAX_WIDTH = 2 ** 16;

const numLayersOf = (config: ConfigFields): number => config.integer("num_hidden_layers", 1, 1024);

/** Published files call layers with an indexer by the name of those without. */
function published(config: ConfigFields): Record<string, unknown> {
  const types = config.raw("layer_types");
  if (!Array.isArray(types)) return {};
  return { layer_types: types.map((type) => (type === "indexed_attention" ? "full_attention" : type)) };
}

/** Fields of an indexer; a config of a model with attention has all of them. */
function parseIndexer(config: ConfigFields): Pick<MeanIndexerShape, "numHeads" | "headDim" | "runs"> {
  const numHeads = config.integer("indexer_n_heads", 1, MAX_HEADS);
  if (config.integer("indexer_kv_heads", 1, MAX_HEADS) !== 1)
    throw config.unsupported("indexer_kv_heads", "expected one key for all heads of the indexer");
  const size = config.integer("indexer_compress_ratio", 1, MAX_COUNT);
  const budget = config.integer("indexer_budget", size, MAX_COUNT);
  if (budget % size !== 0) throw config.invalid("indexer_budget", `a multiple of indexer_compress_ratio (${size})`);
  return {
    numHeads,
    headDim: config.integer("indexer_head_dim", 2, MAX_WIDTH),
    runs: { size, count: budget / size },
  };
}

/** Of the output of gated delta nets. */
function gateOf(config: ConfigFields): "sigmoid" | "silu" {
  const field = config.has("output_gate_type") ? "output_gate_type" : "hidden_act";
  const name = config.string(field, "silu");
  if (name === "sigmoid" || name === "silu") return name;
  throw config.unsupported(field, "gates of gated delta nets are computed with sigmoid or silu");
}

function assemble(fields: ConfigFields): (config: ModelConfig) => Assembly {
  const numLayers = numLayersOf(fields);
  const isLinear = linearLayers(fields, numLayers);
  const count = fields.integer("hc_count", 2, MAX_STREAMS, 4);
  const rank = fields.integer("hc_lowrank", 2, MAX_WIDTH, 320);
  const memoryOf = parseNgramMemories(fields, numLayers, isLinear);
  return (config) => {
    const { hiddenSize, headDim, normEps, traits, names } = config;
    const { normOffset } = traits;
    const shape = { hiddenSize, count, rank, normEps, normOffset };
    const indexed = (layer: number, attention: Branch): Branch[] => {
      const own = parseIndexer(fields);
      const rope = config.ropeOf(layer);
      const ropeDim = rotaryDimOf(rope, headDim);
      if (ropeDim > own.headDim)
        throw new TurboQuantError(
          "unsupported",
          `indexer_head_dim: expected at least the ${ropeDim} coordinates that rope turns, got ${own.headDim}`,
        );
      const prefix = `${names.layers}${layer}.self_attn.`;
      const indexer = { ...own, hiddenSize, ropeDim, rope, normEps, normOffset };
      return [
        { norm: null, block: keyMeans(prefix, indexer) },
        { norm: null, block: meanIndexer(prefix, indexer), isBeside: true },
        { ...attention, isBeside: true },
      ];
    };
    return {
      streams: gatedStreams(`${names.layers.replace("layers.", "")}hyper_connection_mixer.`, shape),
      hasFinalNorm: false,
      branches: (layer) => {
        const prefix = `${names.layers}${layer}.`;
        const memory = memoryOf(layer);
        const [mixer, feedForward] = denseLayer(config, layer).map(
          ({ block }): Branch => ({ norm: null, block, replaces: true }),
        ) as [Branch, Branch];
        const [first, ...others] = isLinear(layer) ? [mixer] : indexed(layer, mixer);
        return [
          ...(memory
            ? [
                {
                  norm: null,
                  block: ngramMemory(`${prefix}ple.`, { ...shape, ...memory }),
                  readsStreams: true,
                } as const,
              ]
            : []),
          { ...first!, streams: gatedResidual(`${prefix}attn_hyper_connection.`, shape) },
          ...others,
          { ...feedForward, streams: gatedResidual(`${prefix}mlp_hyper_connection.`, shape) },
        ];
      },
    };
  };
}

export const qwen4Exp: Family = {
  ...qwen35,
  modelType: "qwen4_exp_text",
  summary:
    "several residual streams with gates of low rank, memories of n-grams, gated delta nets, attention to the tokens that an indexer chooses by means of keys; mixtures of experts: softmax over all, a shared expert with a gate",
  defaults: {
    ...qwen35.defaults,
    numKvHeads: 2,
    partialRotaryFactor: 1,
    // No layer has a dense feed-forward, so configs leave its width out.
    intermediateSize: 512,
  },
  published,
  traits: gatedAttentionTraits,
  mixer: deltaNetMixer(splitInputs, undefined, gateOf),
  attentionOf(config, layer) {
    if (linearLayers(config, numLayersOf(config))(layer)) return {};
    return { chosen: { count: mostChosen(parseIndexer(config).runs), lists: 1 } };
  },
  experts(config, sizes) {
    const experts = qwenExperts(config, sizes, {
      ...{ numExperts: 512, topK: 10, width: 512, sharedWidth: 512 },
      normalizes: true,
    });
    return () => experts;
  },
  assemble,
};
