/** @file Granite 4: Mamba-2 layers and a few with attention, usually without rope; experts or none; factors as in Granite 3. */
import { stateSpace } from "../../blocks/state-space.ts";
import type { ConfigFields } from "../../config-fields.ts";
import { granite } from "../dense/granite.ts";
import type { Family } from "../family.ts";
import { GRANITE_SHARED, graniteExperts } from "../readers/expert-fields.ts";
import { BAMBA_FIELDS, expanded, parseAttentionLayers, parseStateSpace } from "../readers/mamba-fields.ts";

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
  names: GRANITE_SHARED,
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
    const shared = { width: sharedWidth(config), names: GRANITE_SHARED, isFused: true };
    const experts = { ...graniteExperts(config, sizes), shared };
    return () => experts;
  },
  mixer(config, context) {
    const attention = parseAttentionLayers(config, context.numLayers);
    const shape = parseStateSpace(config, context, BAMBA_FIELDS, expanded(config, context.hiddenSize, "mamba_expand"));
    return (layer, prefix) => (attention.has(layer) ? null : stateSpace(`${prefix}mamba.`, shape));
  },
};
