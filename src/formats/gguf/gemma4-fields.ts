/** @file What metadata of Gemma 4 stand for in config.json, and what its files call its tensors. */
import type { JsonObject } from "../json-file.ts";
import { type GgufArchitecture, NORMS_AROUND, QK_NORMS } from "./architecture.ts";
import { EXPERT_KEYS, GATING, mixtureFields } from "./expert-fields.ts";
import { type ModelSizes, windowOf } from "./gemma-fields.ts";
import { type Heads, headDimOf, headsByLayer } from "./layer-heads.ts";
import type { Metadata } from "./metadata.ts";

const MAX = { width: 1 << 20, theta: 1e15 };
/** Files divide the frequencies of what is not turned by 1e30. */
const NOT_TURNED = 1e29;

/** Heads of layers without a window are longer, and may be fewer. */
function heads(metadata: Metadata): Heads {
  const { numHeads, slides, numKvHeads } = headsByLayer(metadata);
  const full = headDimOf(metadata);
  const headDim = headDimOf(metadata, "_swa", full);
  const kvHeads = numKvHeads[Math.max(0, slides.indexOf(true))]!;
  const byLayer = slides.flatMap((isSliding, layer): [string, JsonObject][] => {
    const own = {
      ...(!isSliding && full !== headDim && { head_dim: full }),
      ...(numKvHeads[layer] !== kvHeads && { num_key_value_heads: numKvHeads[layer]! }),
    };
    return Object.keys(own).length > 0 ? [[`${layer}`, own]] : [];
  });
  return {
    numHeads,
    headDim,
    fields: {
      num_attention_heads: numHeads,
      num_key_value_heads: kvHeads,
      head_dim: headDim,
      per_layer_config: Object.fromEntries(byLayer),
    },
  };
}

/** Layers without a window turn the first pairs of a head; the divisors of a file say how many. */
function ropes(metadata: Metadata, divisors: readonly number[] | null): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const theta = metadata.number(own("rope.freq_base"), 1.001, MAX.theta, 1e6);
  const full = headDimOf(metadata);
  const sliding = headDimOf(metadata, "_swa", full);
  const turned = divisors?.filter((divisor) => divisor < NOT_TURNED).length ?? 0;
  if (divisors?.length !== full / 2 || divisors.slice(0, turned).some((divisor) => divisor !== 1)) {
    throw metadata.invalid(
      own("attention.key_length"),
      `twice the length of rope_freqs.weight, of ones and then of 1e30 (${divisors ? `${divisors.length} with ${turned} below` : "which is missing"})`,
    );
  }
  const rotated = metadata.size(own("rope.dimension_count_swa"), sliding, sliding);
  const fraction = turned / divisors.length;
  return {
    rope_parameters: {
      full_attention: {
        rope_type: "proportional",
        rope_theta: theta,
        // The next number, where the rounded quotient would make one pair less.
        partial_rotary_factor: Math.floor((full * fraction) / 2) === turned ? fraction : fraction + Number.EPSILON,
      },
      sliding_attention: {
        rope_type: "default",
        rope_theta: metadata.number(own("rope.freq_base_swa"), 1.001, MAX.theta, theta),
        ...(rotated !== sliding && { partial_rotary_factor: rotated / sliding }),
      },
    },
  };
}

/** Feed-forwards of the last layers, which read the keys and values of others, may be twice as wide. */
function widthFields(metadata: Metadata, numShared: number): JsonObject {
  const key = metadata.own("feed_forward_length");
  const widths = metadata.perLayer(key);
  if (!widths) return { intermediate_size: metadata.size(key, MAX.width) };
  const [width] = widths;
  if (typeof width !== "number" || !Number.isInteger(width) || width < 1 || width > MAX.width)
    throw metadata.invalid(key, `whole numbers from 1 to ${MAX.width}`);
  const isDouble = numShared > 0 && widths.at(-1) === 2 * width;
  const first = widths.length - numShared;
  if (widths.some((own, layer) => own !== (isDouble && layer >= first ? 2 * width : width)))
    throw metadata.unsupported(key, "expected one width for all layers, or twice as much for those that share keys");
  return { intermediate_size: width, use_double_wide_mlp: isDouble };
}

function ofGemma4(metadata: Metadata, { numLayers, layersWith, shapeOf }: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const numShared = metadata.number(own("attention.shared_kv_layers"), 0, numLayers - 1, 0);
  const { slides } = headsByLayer(metadata);
  const hasValues = layersWith("attn_v").filter((_, layer) => !slides[layer] && layer < numLayers - numShared);
  if (new Set(hasValues).size > 1)
    throw metadata.unsupported(own("block_count"), "expected attn_v in all layers without a window or in none");
  const hasExperts = metadata.number(own("expert_count"), 0, 1024, 0) > 0;
  const { num_experts_per_tok, ...experts } = hasExperts ? mixtureFields(metadata, GATING.softmax) : {};
  return {
    ...windowOf(metadata, 512),
    ...widthFields(metadata, numShared),
    attention_k_eq_v: hasValues[0] === false,
    num_kv_shared_layers: numShared,
    final_logit_softcapping: metadata.number(own("final_logit_softcapping"), 0, 1e6, 0),
    hidden_size_per_layer_input: metadata.number(own("embedding_length_per_layer_input"), 0, MAX.width, 0),
    vocab_size_per_layer_input: shapeOf("per_layer_token_embd.weight")?.[0] ?? 262_144,
    enable_moe_block: hasExperts,
    ...(hasExperts && { ...experts, top_k_experts: num_experts_per_tok! }),
  };
}

export const GEMMA4: GgufArchitecture = {
  modelType: "gemma4_text",
  otherTypes: ["gemma4_unified_text"],
  interleavesHeads: false,
  layer: {
    ...NORMS_AROUND,
    ...QK_NORMS,
    inp_gate: "per_layer_input_gate",
    proj: "per_layer_projection",
    post_norm: "post_per_layer_input_norm",
    ffn_gate_inp: "router.proj",
    ffn_gate_exps: "experts.gate_proj",
    ffn_up_exps: "experts.up_proj",
    pre_ffw_norm_2: "pre_feedforward_layernorm_2",
    post_ffw_norm_1: "post_feedforward_layernorm_1",
    post_ffw_norm_2: "post_feedforward_layernorm_2",
  },
  whole: {
    "layer_output_scale.weight": "layer_scalar",
    "ffn_gate_inp.scale": "router.scale",
    "ffn_gate_up_exps.weight": "experts.gate_up_proj",
    "ffn_down_exps.weight": "experts.down_proj",
    "ffn_down_exps.scale": "router.per_expert_scale",
  },
  model: {
    per_layer_token_embd: "model.embed_tokens_per_layer",
    per_layer_model_proj: "model.per_layer_model_projection",
    per_layer_proj_norm: "model.per_layer_projection_norm",
  },
  heads,
  ropes,
  hasOwnWidths: true,
  fields: ofGemma4,
  reads: [...EXPERT_KEYS, "expert_gating_func", "final_logit_softcapping"],
};
