/** @file What metadata of MiMo V2 Flash stand for in config.json, and what its files call its tensors. */
import type { JsonObject } from "../json-file.ts";
import type { GgufArchitecture } from "./architecture.ts";
import { GATING, MLP_EXPERT_TENSORS, mixtureFields, ROUTER_KEYS, sparseLayers } from "./expert-fields.ts";
import { type ModelSizes, windowOf } from "./gemma-fields.ts";
import { type Heads, headsByLayer, kvHeadsWhere } from "./layer-heads.ts";
import type { Metadata } from "./metadata.ts";

const MAX = { width: 1 << 20, theta: 1e15 };

/** Values are narrower than keys, and layers with a window have other KV heads. */
function heads(metadata: Metadata): Heads {
  const own = (key: string): string => metadata.own(key);
  const layers = headsByLayer(metadata);
  const headDim = metadata.size(own("attention.key_length"), MAX.width);
  const sliding = kvHeadsWhere(metadata, layers, true, layers.numHeads);
  return {
    numHeads: layers.numHeads,
    headDim,
    fields: {
      num_attention_heads: layers.numHeads,
      num_key_value_heads: kvHeadsWhere(metadata, layers, false, sliding),
      swa_num_key_value_heads: sliding,
      head_dim: headDim,
      v_head_dim: metadata.size(own("attention.value_length"), MAX.width, headDim),
      partial_rotary_factor: metadata.size(own("rope.dimension_count"), headDim, headDim) / headDim,
    },
  };
}

function ofMimo2(metadata: Metadata, { layersWith }: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const { slides } = headsByLayer(metadata);
  const hasSinks = (sliding: boolean): boolean =>
    layersWith("attn_sinks").some((has, layer) => has && slides[layer] === sliding);
  // Zero stands for a factor that is not there.
  const scale = metadata.number(own("attention.value_scale"), 0, 1e6, 0) || 1;
  return {
    ...windowOf(metadata, null),
    ...mixtureFields(metadata, GATING.sigmoid),
    // Of which files say nothing; all of its models have it.
    norm_topk_prob: true,
    mlp_layer_types: sparseLayers(layersWith),
    swa_rope_theta: metadata.number(own("rope.freq_base_swa"), 1.001, MAX.theta, 1e4),
    attention_value_scale: scale,
    add_swa_attention_sink_bias: hasSinks(true),
    add_full_attention_sink_bias: hasSinks(false),
  };
}

export const MIMO2: GgufArchitecture = {
  modelType: "mimo_v2_flash",
  interleavesHeads: false,
  layer: MLP_EXPERT_TENSORS,
  whole: {
    "attn_sinks.weight": "self_attn.attention_sink_bias",
    "exp_probs_b.bias": "mlp.gate.e_score_correction_bias",
  },
  heads,
  fields: ofMimo2,
  reads: ROUTER_KEYS,
};
