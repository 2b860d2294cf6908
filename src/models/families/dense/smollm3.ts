/** @file SmolLM 3: every fourth layer has no rope. */

import type { ConfigFields } from "../../config-fields.ts";
import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

function hasRope(config: ConfigFields, layer: number): boolean {
  const layers = config.raw("no_rope_layers");
  if (layers === undefined) return (layer + 1) % config.integer("no_rope_layer_interval", 1, 2 ** 16, 4) !== 0;
  // The list says 1 for a layer that has rope.
  if (Array.isArray(layers) && (layers[layer] === 0 || layers[layer] === 1)) return layers[layer] === 1;
  throw config.invalid("no_rope_layers", "a list of 0 and 1, one a layer");
}

export const smollm3: Family = {
  modelType: "smollm3",
  summary: "layers without rope",
  slidingWindow: "all",
  hasWindowSwitch: true,
  defaults: {
    numKvHeads: 4,
    theta: 2e6,
    maxPosition: 32_768,
    bosTokenId: 128_000,
    eosTokenId: 128_001,
    slidingWindow: null,
    tieWordEmbeddings: true,
  },
  hasRope,
  // Where there are windows, the layers without rope have them.
  layerTypes(config, numLayers) {
    const hasWindows = config.boolean("use_sliding_window", false) && config.has("sliding_window");
    return Array.from({ length: numLayers }, (_, layer) =>
      hasWindows && !hasRope(config, layer) ? "sliding_attention" : "full_attention",
    );
  },
  traits: configuredBiases,
};
