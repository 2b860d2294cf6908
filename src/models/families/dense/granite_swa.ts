/** @file Granite with sliding windows: learned logits of heads, and a theta of rope by layer. */
import type { Family } from "../family.ts";
import { granite } from "./granite.ts";

export const graniteSwa: Family = {
  ...granite,
  modelType: "granite_swa",
  summary: "Granite with sliding window by layer, a learned logit a head, theta of rope by layer or none",
  slidingWindow: "pattern",
  defaults: {
    numKvHeads: 4,
    normEps: 1e-5,
    maxPosition: 8192,
    slidingWindow: 128,
    bosTokenId: 100_257,
    eosTokenId: 100_257,
    tieWordEmbeddings: true,
  },
  layerTypes: (_config, numLayers) =>
    Array.from({ length: numLayers }, (_, layer) => (layer % 4 === 0 ? "full_attention" : "sliding_attention")),
  layerTheta(config, layer) {
    const thetas = config.raw("layer_rope_theta");
    if (thetas === undefined) return undefined;
    const numLayers = config.integer("num_hidden_layers", 1, 1024);
    if (!Array.isArray(thetas) || thetas.length !== numLayers || !thetas.every(isTheta))
      throw config.invalid("layer_rope_theta", `a list of ${numLayers}, one a layer, of numbers, 0 for none`);
    return thetas[layer] as number;
  },
  traits: (config) => ({ ...granite.traits?.(config), sinkLogits: true }),
};

const isTheta = (value: unknown): boolean => typeof value === "number" && (value === 0 || (value > 1 && value <= 1e15));
