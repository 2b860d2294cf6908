/** @file Phi 1, 1.5 and 2: LayerNorm, biases throughout, GELU without a gate, parallel blocks, partial rope. */
import type { Family } from "../family.ts";

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
  names: {
    qNorm: "self_attn.q_layernorm",
    kNorm: "self_attn.k_layernorm",
    finalNorm: "model.final_layernorm",
    output: "self_attn.dense",
    up: "mlp.fc1",
    down: "mlp.fc2",
  },
  traits(config) {
    return {
      norm: "layer",
      qkNorm: config.boolean("qk_layernorm", false) ? "layerHead" : "none",
      parallel: "shared",
      isGated: false,
      biases: { qkv: true, output: true, feedForward: true, norm: true, head: true },
    };
  },
};
