/** @file Latent attention over the tokens that an indexer chooses: its fields, and the layers that are made of both. */
import type { Branch } from "../../blocks/block.ts";
import { latentAttention } from "../../blocks/latent-attention.ts";
import { tokenIndexer } from "../../blocks/token-indexer.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { ModelConfig } from "../../model-config.ts";
import type { IndexerTraits } from "../../traits.ts";
import { denseLayer } from "../dense-layer.ts";
import type { Family } from "../family.ts";

const MAX_COUNT = 2 ** 20;
const MAX_HEADS = 4096;
const MAX_WIDTH = 2 ** 12;

/**
 * What of an indexer the families that have one differ in. layersOf: whether each layer chooses tokens itself, instead of attending to those of the
 * layer before it
 */
export interface IndexerDefaults {
  readonly numHeads: number;
  readonly isInterleaved: boolean;
  layersOf(config: ConfigFields, numLayers: number): readonly boolean[];
}

/** @throws TurboQuantError invalid_file — a field that is wrong; unsupported — widths or layers that are not there */
export function parseIndexer(config: ConfigFields, defaults: IndexerDefaults): IndexerTraits {
  const numLayers = config.integer("num_hidden_layers", 1, 1024);
  const types = config.raw("layer_types");
  if (types !== undefined && !(Array.isArray(types) && types.every((type) => type === "indexed_attention")))
    throw config.unsupported("layer_types", "expected indexed_attention in all layers");
  if (config.mentions("q_lora_rank") && !config.has("q_lora_rank"))
    throw config.unsupported("q_lora_rank", "an indexer reads the latents of queries; expected their width");
  const headDim = config.integer("index_head_dim", 1, MAX_WIDTH, 128);
  const ropeDim = config.integer("qk_rope_head_dim", 1, MAX_WIDTH, 64);
  if (headDim % 8 !== 0 || headDim <= ropeDim)
    throw config.unsupported("index_head_dim", `expected a multiple of 8 above qk_rope_head_dim (${ropeDim})`);
  const choosesIn = defaults.layersOf(config, numLayers);
  if (!choosesIn[0]) throw config.invalid("indexer_types", "an indexer of its own in the first layer");
  return {
    count: config.integer("index_topk", 1, MAX_COUNT, 2048),
    headDim,
    numHeads: config.integer("index_n_heads", 2, MAX_HEADS, defaults.numHeads),
    isInterleaved: defaults.isInterleaved,
    choosesIn,
  };
}

/** `Family.mixer` of these families. */
export const indexedMixer =
  (defaults: IndexerDefaults): NonNullable<Family["mixer"]> =>
  (config, { hiddenSize, numHeads, latent, ropeOf }) => {
    const { count, choosesIn } = parseIndexer(config, defaults);
    return (layer, prefix) =>
      latentAttention(`${prefix}self_attn.`, {
        ...{ ...latent!, hiddenSize, numHeads, rope: ropeOf(layer) },
        chosen: { count, hasQueryLatent: choosesIn[layer]! },
      });
  };

/** `Family.branches` of these families: where a layer chooses tokens, the indexer reads what attention reads, and comes before it. */
export function indexedLayer(config: ModelConfig, layer: number): Branch[] {
  const [attention, ...others] = denseLayer(config, layer) as [Branch, ...Branch[]];
  const { choosesIn, ...indexer } = config.traits.indexer!;
  if (!choosesIn[layer]) return [attention, ...others];
  const { queryRank, ropeDim, hasBias } = config.latent!;
  const block = tokenIndexer(`${config.names.layers}${layer}.self_attn.`, {
    ...{ ...indexer, hiddenSize: config.hiddenSize, queryRank: queryRank!, ropeDim, hasBias },
    rope: config.ropeOf(layer),
  });
  return [{ norm: attention.norm, block }, { ...attention, norm: null, isBeside: true }, ...others];
}
