/** @file GPT-NeoX and Pythia: LayerNorm, biases, GELU without a gate, parallel blocks, partial rope, q, k and v head by head in one tensor. */
import type { Family } from "../family.ts";

export const gptNeox: Family = {
  modelType: "gpt_neox",
  summary:
    "parallel blocks with a LayerNorm each; biases; GELU without a gate; partial rope; q, k, v fused head by head",
  slidingWindow: "none",
  hasOddRope: true,
  hasOwnKvHeads: false,
  defaults: {
    hiddenAct: "gelu",
    partialRotaryFactor: 0.25,
    normEps: 1e-5,
    maxPosition: 2048,
    bosTokenId: 0,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  normEpsField: "layer_norm_eps",
  names: {
    embedding: "gpt_neox.embed_in",
    finalNorm: "gpt_neox.final_layer_norm",
    head: "embed_out",
    layers: "gpt_neox.layers.",
    qkv: "attention.query_key_value",
    output: "attention.dense",
    up: "mlp.dense_h_to_4h",
    down: "mlp.dense_4h_to_h",
  },
  traits(config) {
    const hasBias = config.boolean("attention_bias", true);
    return {
      norm: "layer",
      parallel: config.boolean("use_parallel_residual", true) ? "own" : "no",
      isGated: false,
      // No field of its own: GGUF files say false, as they have q, k and v one behind the other.
      fusedQkv: config.boolean("split_qkv_heads", true) ? "heads" : "rows",
      biases: { qkv: hasBias, output: hasBias, feedForward: true, norm: true, head: false },
    };
  },
};
