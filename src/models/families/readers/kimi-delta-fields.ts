/** @file What config files say of Kimi delta attention and of the latent attention between its layers. */
import { MAX_DELTA_DIM, MAX_KERNEL } from "../../../backends/state-ops.ts";
import { requireSilu } from "../../activation-names.ts";
import { type KimiDeltaShape, type KimiDeltaTensors, kimiDeltaAttention } from "../../blocks/kimi-delta-attention.ts";
import { type LatentTensors, latentAttention } from "../../blocks/latent-attention.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { Family, MixerContext } from "../family.ts";
import { linearLayers } from "./delta-net-fields.ts";
import { isSparseBehind, isSparseByType } from "./expert-fields.ts";

const MAX_HEADS = 4096;

/** Names that these families have for the fields of DeepSeek. */
export const KIMI_FIELDS = {
  max_position_embeddings: "model_max_length",
  norm_topk_prob: "moe_renormalize",
  n_group: "num_expert_group",
};

/** The heads of `linear_num_heads`, `linear_head_dim` and `linear_conv_kernel_dim`. */
export function kimiDeltaShape(
  config: ConfigFields,
  { hiddenSize, normEps }: MixerContext,
  defaults: { readonly numHeads: number; readonly headDim: number },
): Omit<KimiDeltaShape, "gateRank" | "decayBound"> {
  requireSilu(config, "hidden_act", "delta nets");
  return {
    hiddenSize,
    numHeads: config.integer("linear_num_heads", 1, MAX_HEADS, defaults.numHeads),
    headDim: config.integer("linear_head_dim", 1, MAX_DELTA_DIM, defaults.headDim),
    kernel: config.integer("linear_conv_kernel_dim", 2, MAX_KERNEL, 4),
    normEps,
  };
}

/** A mixer of delta attention in the layers that `layer_types` says, and of latent attention in the others. prefix: of both in a layer */
export function kimiDeltaMixer(
  config: ConfigFields,
  { hiddenSize, numLayers, numHeads, latent, ropeOf }: MixerContext,
  of: {
    readonly prefix: string;
    readonly delta: KimiDeltaShape;
    readonly deltaTensors: KimiDeltaTensors;
    readonly latentTensors: LatentTensors;
  },
): ReturnType<NonNullable<Family["mixer"]>> {
  const isLinear = linearLayers(config, numLayers);
  return (layer, prefix) => {
    const own = `${prefix}${of.prefix}`;
    if (isLinear(layer)) return kimiDeltaAttention(own, of.delta, of.deltaTensors);
    return latentAttention(own, { ...latent!, hiddenSize, numHeads, rope: ropeOf(layer) }, of.latentTensors);
  };
}

/** Which layers have experts: by `mlp_layer_types`, or those behind the first few. */
export const isSparseLayer = (config: ConfigFields, numLayers: number, numDense: number) =>
  config.has("mlp_layer_types") ? isSparseByType(config, numLayers, numDense) : isSparseBehind(config, numDense);
