/** @file StarCoder 2: LayerNorm, biases throughout, GELU without a gate. */
import type { Family } from "../family.ts";

export const starcoder2: Family = {
  modelType: "starcoder2",
  summary: "LayerNorm; biases throughout; GELU without a gate; sliding window on all layers",
  slidingWindow: "all",
  defaults: {
    slidingWindow: null,
    numKvHeads: 2,
    hiddenAct: "gelu_pytorch_tanh",
    normEps: 1e-5,
    maxPosition: 4096,
    bosTokenId: 50_256,
    eosTokenId: 50_256,
    tieWordEmbeddings: true,
  },
  normEpsField: "norm_epsilon",
  names: { up: "mlp.c_fc", down: "mlp.c_proj" },
  traits(config) {
    const hasBias = config.boolean("use_bias", true);
    return {
      norm: "layer",
      isGated: false,
      biases: { qkv: hasBias, output: hasBias, feedForward: hasBias, norm: true, head: false },
    };
  },
};
