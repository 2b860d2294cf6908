/** @file OLMo Hybrid: gated delta nets behind norms in most layers, the attention of OLMo 3 before norms in the others. */
import { type DeltaNetShape, gatedDeltaNet } from "../../blocks/gated-delta-net.ts";
import type { ConfigFields } from "../../config-fields.ts";
import { denseLayer } from "../dense-layer.ts";
import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import { linearLayers, parseDeltaNet } from "../readers/delta-net-fields.ts";

/** Of the norms of the delta nets' heads, whatever the config says of others. */
const HEAD_NORM_EPS = 1e-5;

/** Which layers have a delta net; a model of fewer layers than the usual interval attends in its last one. */
function deltaNetLayers(config: ConfigFields, numLayers: number): (layer: number) => boolean {
  const isLinear = linearLayers(config, numLayers);
  const attends = Array.from({ length: numLayers }, (_, layer) => !isLinear(layer)).includes(true);
  return attends || config.has("layer_types") ? isLinear : (layer) => layer !== numLayers - 1;
}

export const olmoHybrid: Family = {
  modelType: "olmo_hybrid",
  summary:
    "gated delta nets with negative eigenvalues in most layers; attention with norms of whole rows of q and k and norms behind blocks in the others, mostly without rope",
  slidingWindow: "none",
  defaults: {
    numHeads: 30,
    vocabSize: 100_352,
    intermediateSize: 11_008,
    maxPosition: 65_536,
    eosTokenId: 100_257,
    tieWordEmbeddings: false,
  },
  names: {
    attentionNorm: "attention_layer_norm",
    attentionPostNorm: "feedforward_layer_norm",
    feedForwardNorm: "feedforward_layer_norm",
    feedForwardPostNorm: "post_feedforward_layernorm",
  },
  // Without any word of rope there is the usual one; a theta of null means none.
  hasRope(config) {
    const own = config.object("rope_parameters") ?? config;
    return own.has("rope_theta") || !own.mentions("rope_theta");
  },
  traits: (config) => ({ qkNorm: "row", ...configuredBiases(config) }),
  mixer(config, { hiddenSize, numLayers, numHeads: attentionHeads }) {
    const isLinear = deltaNetLayers(config, numLayers);
    const sizes = parseDeltaNet(config, {
      numKeyHeads: attentionHeads,
      numHeads: attentionHeads,
      keyDim: (keyHeads) => Math.floor((0.75 * hiddenSize) / keyHeads),
      valueDim: (dim) => 2 * dim,
    });
    const { numHeads, numKeyHeads } = sizes;
    const shape: DeltaNetShape = {
      ...sizes,
      hiddenSize,
      normEps: HEAD_NORM_EPS,
      rateScale: config.boolean("linear_allow_neg_eigval", true) ? 2 : 1,
    };
    const [keys, values] = [numKeyHeads * shape.keyDim, numHeads * shape.valueDim];
    const channels = 2 * keys + values;
    const third = Math.ceil(channels / 3);
    const apart = (...sizes: readonly number[]) =>
      ["q_conv1d", "k_conv1d", "v_conv1d"].map((name, i) => [name, sizes[i]!] as const);
    return (layer, prefix) =>
      isLinear(layer)
        ? gatedDeltaNet(`${prefix}linear_attn.`, shape, {
            inputs: [
              ["q_proj", keys],
              ["k_proj", keys],
              ["v_proj", values],
              ["g_proj", values],
              ["b_proj", numHeads],
              ["a_proj", numHeads],
            ],
            // Transformers saves thirds of all channels under these names, whatever the widths of q, k and v.
            taps: [apart(keys, keys, values), apart(third, third, channels - 2 * third), [["conv1d", channels]]],
            norm: "o_norm",
            output: "o_proj",
          })
        : null;
  },
  branches(config, layer) {
    const isLinear = config.mixer(layer, "") !== null;
    return denseLayer({ ...config, traits: { ...config.traits, norms: isLinear ? "before" : "after" } }, layer);
  },
};
