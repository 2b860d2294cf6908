/** @file JetMoE: mixtures of experts as its feed-forwards and as the query and output projections of its attention. */
import { attentionExperts } from "../../blocks/attention-experts.ts";
import { denseLayer } from "../dense-layer.ts";
import type { Family } from "../family.ts";
import { BLOCK_SPARSE_EXPERTS, expertSizes, SOFTMAX_ROUTER, swigluExperts } from "../readers/expert-fields.ts";

/** Of the norms of layers, whatever the config says of the last one. */
const LAYER_EPS = 1e-6;
const DEFAULTS = { numExperts: 8, topK: 2, width: 5632 };
const ROUTER = { ...SOFTMAX_ROUTER, scoresChosen: true };

export const jetmoe: Family = {
  modelType: "jetmoe",
  summary: "mixtures of experts with a bias behind each, also of the projections of queries and of attention's output",
  slidingWindow: "none",
  fields: { head_dim: "kv_channels" },
  activationField: "activation_function",
  defaults: {
    numKvHeads: 16,
    headDim: 128,
    vocabSize: 32_000,
    maxPosition: 4096,
    intermediateSize: 5632,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: true,
  },
  // Each expert of a token has one head for each KV head, whatever a file says of their number.
  published: (config) => ({
    num_attention_heads:
      config.integer("num_key_value_heads", 1, 4096, 16) * config.integer("num_experts_per_tok", 1, 64, DEFAULTS.topK),
  }),
  experts(config, sizes) {
    const experts = {
      ...expertSizes(config, DEFAULTS, "intermediate_size"),
      ...swigluExperts(sizes),
      router: ROUTER,
      outputBias: "mlp.bias",
      names: [
        {
          ...BLOCK_SPARSE_EXPERTS,
          ...{ router: "mlp.router.layer", experts: "mlp.experts" },
          stacked: { gateUp: "mlp.input_linear.weight", down: "mlp.output_linear.weight" },
        },
      ],
      stack: { isTransposed: false, isInterleaved: false, isUsual: true },
    };
    return () => experts;
  },
  mixer(config, { hiddenSize, numKvHeads, headDim, ropeOf }) {
    const { numExperts, topK } = expertSizes(config, DEFAULTS, "intermediate_size");
    const shape = { hiddenSize, numExperts, topK, numKvHeads, headDim, router: ROUTER, normEps: LAYER_EPS };
    return (layer, prefix) => attentionExperts(`${prefix}self_attention.`, { ...shape, rope: ropeOf(layer) });
  },
  branches: (config, layer) => denseLayer({ ...config, normEps: LAYER_EPS }, layer),
};
