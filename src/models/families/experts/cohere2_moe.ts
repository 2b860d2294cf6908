/** @file Command A with mixtures of experts: the best logits are chosen and then scored; shared experts are averaged or added. */
import type { ConfigFields } from "../../config-fields.ts";
import { cohere2 } from "../dense/cohere2.ts";
import type { Family } from "../family.ts";
import {
  expertSizes,
  isSparseByType,
  MLP_EXPERTS,
  SOFTMAX_ROUTER,
  sharedExperts,
  swigluExperts,
} from "../readers/expert-fields.ts";

const MAX_LAYERS = 1024;

const numDenseOf = (config: ConfigFields): number => config.integer("first_k_dense_replace", 0, MAX_LAYERS, 0);

function isSparseOf(config: ConfigFields): (layer: number) => boolean {
  return isSparseByType(config, config.integer("num_hidden_layers", 1, MAX_LAYERS), numDenseOf(config));
}

export const cohere2Moe: Family = {
  ...cohere2,
  modelType: "cohere2_moe",
  summary:
    "`cohere2`, rope in dense first layers too; a mixture of experts: softmax or sigmoid of the chosen, shared experts averaged or added",
  defaults: { ...cohere2.defaults, numHeads: 64, headDim: 128, vocabSize: 256_000, hiddenAct: "silu" },
  intermediateSize: (config) =>
    config.has("prefix_dense_intermediate_size")
      ? config.integer("prefix_dense_intermediate_size", 1, 2 ** 20)
      : config.integer("intermediate_size", 1, 2 ** 20, 22_528),
  hasRope(config, layer, { window }) {
    const isPlain = config.integer("prefix_dense_sliding_window_pattern", 0, 2 ** 16, 1) === 1;
    return window > 0 || (isPlain && !isSparseOf(config)(layer));
  },
  // The dense first layers have a pattern of their own, and that of the others begins behind them.
  layerTypes(config, numLayers) {
    const numDense = numDenseOf(config);
    const ofDense = config.integer("prefix_dense_sliding_window_pattern", 1, 2 ** 16, 1);
    const ofOthers = config.integer("sliding_window_pattern", 1, 2 ** 16, 4);
    return Array.from({ length: numLayers }, (_, layer) => {
      const isFull = layer < numDense ? (layer + 1) % ofDense === 0 : (layer - numDense + 1) % ofOthers === 0;
      return isFull ? "full_attention" : "sliding_attention";
    });
  },
  experts(config, sizes) {
    const isSparse = isSparseOf(config);
    const own = expertSizes(config, { numExperts: 8, topK: 2, width: 22_528 }, "intermediate_size");
    const score = config.string("expert_selection_fn", "softmax");
    if (score !== "softmax" && score !== "sigmoid")
      throw config.unsupported("expert_selection_fn", "expected softmax or sigmoid");
    const strategy = config.string("shared_expert_combination_strategy", "average");
    if (strategy !== "average" && strategy !== "sum")
      throw config.unsupported("shared_expert_combination_strategy", "expected average or sum");
    const shared = sharedExperts(config, own.width, 0);
    const scale = shared && strategy === "average" ? 0.5 : 1;
    const experts = {
      ...own,
      ...swigluExperts(sizes),
      router: {
        ...SOFTMAX_ROUTER,
        score,
        scoresChosen: true,
        normalizes: score === "sigmoid" && config.boolean("norm_topk_prob", true),
        scale,
      },
      shared: shared && { ...shared, scale },
      names: [MLP_EXPERTS],
    } as const;
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
