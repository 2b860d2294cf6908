/** @file Phi 1, 1.5 and 2: LayerNorm, biases throughout, GELU without a gate, parallel blocks, partial rope. */
import type { Family } from "./family.ts";

export const phi: Family = {
  modelType: "phi",
  summary: "parallel blocks behind one LayerNorm; biases throughout; GELU without a gate; partial rope",
  slidingWindow: "none",
  defaults: {
    hiddenAct: "gelu_new",
    partialRotaryFactor: 0.5,
    normEps: 1e-5,
    maxPosition: 2048,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  normEpsField: "layer_norm_eps",
  names: { finalNorm: "model.final_layernorm", output: "self_attn.dense", up: "mlp.fc1", down: "mlp.fc2" },
  traits(config) {
    if (config.boolean("qk_layernorm", false))
      throw config.unsupported("qk_layernorm", "LayerNorm of the heads of q and k is not supported; expected false");
    return {
      norm: "layer",
      parallel: "shared",
      isGated: false,
      biases: { qkv: true, output: true, feedForward: true, norm: true, head: true },
    };
  },
};
