/** @file Granite 4: Mamba-2 layers and a few with attention, usually without rope; experts or none; factors as in Granite 3. */
import type { ExpertTraits } from "../blocks/expert-feed-forward.ts";
import type { ExpertNames } from "../blocks/expert-tensors.ts";
import { stateSpace } from "../blocks/state-space.ts";
import type { ConfigFields } from "../config-fields.ts";
import { expertSizes, SOFTMAX_ROUTER, swigluExperts } from "./expert-fields.ts";
import type { Family } from "./family.ts";
import { granite } from "./granite.ts";
import { BAMBA_FIELDS, expanded, parseAttentionLayers, parseStateSpace } from "./mamba-fields.ts";

/** Of the feed-forward that all rows go through. */
const SHARED = { gateUp: "shared_mlp.input_linear", down: "shared_mlp.output_linear" };

const EXPERT_NAMES: ExpertNames = {
  router: "block_sparse_moe.router.layer",
  experts: "block_sparse_moe.experts",
  gate: "gate_proj",
  up: "up_proj",
  down: "down_proj",
  stacked: { gateUp: "block_sparse_moe.input_linear.weight", down: "block_sparse_moe.output_linear.weight" },
};

const sharedWidth = (config: ConfigFields): number => config.integer("shared_intermediate_size", 1, 2 ** 20, 1024);

export const graniteMoeHybrid: Family = {
  modelType: "granitemoehybrid",
  summary: "`granite` with Mamba-2 in place of attention in most layers, and with a mixture of experts or none",
  slidingWindow: "none",
  defaults: {
    numHeads: 32,
    vocabSize: 32_000,
    maxPosition: 2048,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  names: SHARED,
  intermediateSize: sharedWidth,
  hasRope(config) {
    const type = config.raw("position_embedding_type") ?? "nope";
    if (type === "rope" || type === "nope") return type === "rope";
    throw config.unsupported("position_embedding_type", "expected rope, nope or null");
  },
  traits: (config) => ({ ...granite.traits?.(config), fusedGateUp: true }),
  experts(config, sizes) {
    // Without experts all there is is the feed-forward that all rows go through.
    if (config.raw("num_local_experts") === 0) return () => null;
    const experts: ExpertTraits = {
      ...expertSizes(config, { numExperts: 8, topK: 2, width: 11_008 }, "intermediate_size"),
      ...swigluExperts(sizes),
      router: { ...SOFTMAX_ROUTER, scoresChosen: true },
      shared: { width: sharedWidth(config), names: SHARED, isFused: true },
      names: [EXPERT_NAMES],
    };
    return () => experts;
  },
  mixer(config, context) {
    const attention = parseAttentionLayers(config, context.numLayers);
    const shape = parseStateSpace(config, context, BAMBA_FIELDS, expanded(config, context.hiddenSize, "mamba_expand"));
    return (layer, prefix) => (attention.has(layer) ? null : stateSpace(`${prefix}mamba.`, shape));
  },
};
