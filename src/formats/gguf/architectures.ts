/** @file Architectures of GGUF files that we run: their `model_type`, and the names of their tensors. */
import type { JsonObject } from "../json-file.ts";
import {
  ofAttentionBias,
  ofCohere2,
  ofExaone4,
  ofGranite,
  ofLfm2,
  ofMistral3,
  ofOlmo2,
  ofPhi2,
  ofPhi3,
  ofSeedOss,
  ofStarcoder2,
  ropeOfMistral3,
} from "./dense-fields.ts";
import {
  BLOCK_SPARSE_TENSORS,
  EXPERT_KEYS,
  MLP_EXPERT_TENSORS,
  ofGptOss,
  ofGraniteMoe,
  ofMixtral,
  ofOlmoe,
  ofQwen2Moe,
  ofQwen3Moe,
  ropeOfGptOss,
} from "./expert-fields.ts";
import { type ModelSizes, ofGemma, ofGemma2, ofGemma3 } from "./gemma-fields.ts";
import type { Metadata } from "./metadata.ts";

export interface GgufArchitecture {
  /** As config.json calls it. */
  readonly modelType: string;
  /** Others that its files may be, as their `fields` say by what a file has. */
  readonly otherTypes?: readonly string[];
  /**
   * Whether llama.cpp rotates neighbouring coordinates of a head (its rope type NORM), for which converters interleave the
   * rows of q and k. Ours rotates the two halves, as Transformers does, and takes the rows back to their places.
   */
  readonly interleavesHeads: boolean;
  /** Tensors of a layer besides those that all have, or with other names. */
  readonly layer: Readonly<Record<string, string>>;
  /** Tensors outside the layers that have other names. */
  readonly model?: Readonly<Record<string, string>>;
  /** Fields of config.json besides those that all have. */
  readonly fields?: (metadata: Metadata, sizes: ModelSizes) => JsonObject;
  /** Fields of `rope_scaling` besides those that all have. */
  readonly ropeFields?: (metadata: Metadata) => JsonObject;
  /** Keys that these come from, without the architecture, among those that stand for what is not computed with elsewhere. */
  readonly reads?: readonly string[];
  /** Which products may have biases: those of q, k and v, or all. Elsewhere a bias is not computed with. */
  readonly biases?: "qkv" | "all";
  /** Shapes that tensors of a layer have, by those that files give them. */
  readonly shapes?: Readonly<Record<string, (stored: readonly number[]) => readonly number[]>>;
  /** Whether some layers have no attention, which their number of KV heads says. */
  readonly hasLayersWithoutHeads?: true;
  /** What files of this name are that have experts. */
  readonly withExperts?: GgufArchitecture;
  /** Whether a part of a head may be turned. */
  readonly hasPartialRope?: true;
  /** Whether its norms are LayerNorm; the others are RMSNorm, whose epsilon every file has. */
  readonly hasLayerNorm?: true;
}

const QK_NORMS = { attn_q_norm: "self_attn.q_norm", attn_k_norm: "self_attn.k_norm" };

const NORMS_AFTER = {
  post_attention_norm: "post_attention_layernorm",
  post_ffw_norm: "post_feedforward_layernorm",
};

const NORMS_AROUND = {
  post_attention_norm: "post_attention_layernorm",
  ffn_norm: "pre_feedforward_layernorm",
  post_ffw_norm: "post_feedforward_layernorm",
};

const MIXTRAL: GgufArchitecture = {
  modelType: "mixtral",
  interleavesHeads: true,
  layer: BLOCK_SPARSE_TENSORS,
  fields: ofMixtral,
  reads: EXPERT_KEYS,
};

export const ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  llama: { modelType: "llama", interleavesHeads: true, layer: {}, biases: "qkv", withExperts: MIXTRAL },
  qwen2: { modelType: "qwen2", interleavesHeads: false, layer: {}, biases: "qkv" },
  qwen3: { modelType: "qwen3", interleavesHeads: false, layer: QK_NORMS, biases: "qkv", fields: ofAttentionBias },
  qwen3moe: {
    modelType: "qwen3_moe",
    interleavesHeads: false,
    layer: { ...QK_NORMS, ...MLP_EXPERT_TENSORS },
    biases: "qkv",
    fields: ofQwen3Moe,
    reads: EXPERT_KEYS,
  },
  qwen2moe: {
    modelType: "qwen2_moe",
    interleavesHeads: false,
    layer: {
      ...MLP_EXPERT_TENSORS,
      ffn_gate_inp_shexp: "mlp.shared_expert_gate",
      ffn_gate_shexp: "mlp.shared_expert.gate_proj",
      ffn_up_shexp: "mlp.shared_expert.up_proj",
      ffn_down_shexp: "mlp.shared_expert.down_proj",
    },
    shapes: { ffn_gate_inp_shexp: (stored) => [1, ...stored] },
    biases: "qkv",
    fields: ofQwen2Moe,
    reads: EXPERT_KEYS,
  },
  olmoe: {
    modelType: "olmoe",
    interleavesHeads: false,
    layer: { ...QK_NORMS, ...MLP_EXPERT_TENSORS },
    fields: ofOlmoe,
    reads: EXPERT_KEYS,
  },
  "gpt-oss": {
    modelType: "gpt_oss",
    interleavesHeads: false,
    layer: {
      ...MLP_EXPERT_TENSORS,
      ffn_gate_inp: "mlp.router",
      attn_sinks: "self_attn.sinks",
      post_attention_norm: "post_attention_layernorm",
    },
    biases: "all",
    fields: ofGptOss,
    ropeFields: ropeOfGptOss,
    reads: EXPERT_KEYS,
  },
  gemma: { modelType: "gemma", interleavesHeads: false, layer: {}, fields: ofGemma },
  gemma2: {
    modelType: "gemma2",
    interleavesHeads: false,
    layer: NORMS_AROUND,
    fields: ofGemma2,
    reads: ["attn_logit_softcapping", "final_logit_softcapping"],
  },
  gemma3: {
    modelType: "gemma3_text",
    interleavesHeads: false,
    layer: { ...NORMS_AROUND, ...QK_NORMS },
    fields: ofGemma3,
    reads: ["final_logit_softcapping"],
  },
  phi3: {
    modelType: "phi3",
    interleavesHeads: false,
    layer: { attn_qkv: "self_attn.qkv_proj", ffn_up: "mlp.gate_up_proj" },
    hasPartialRope: true,
    fields: ofPhi3,
  },
  granite: {
    modelType: "granite",
    interleavesHeads: true,
    layer: {},
    fields: ofGranite,
    reads: ["embedding_scale", "residual_scale", "logit_scale", "attention.scale"],
  },
  granitemoe: {
    modelType: "granitemoe",
    interleavesHeads: true,
    layer: { ...BLOCK_SPARSE_TENSORS, ffn_gate_inp: "block_sparse_moe.router.layer" },
    fields: ofGraniteMoe,
    reads: ["embedding_scale", "residual_scale", "logit_scale", "attention.scale", ...EXPERT_KEYS],
  },
  lfm2: {
    modelType: "lfm2",
    interleavesHeads: false,
    layer: {
      attn_norm: "operator_norm",
      attn_output: "self_attn.out_proj",
      attn_q_norm: "self_attn.q_layernorm",
      attn_k_norm: "self_attn.k_layernorm",
      ffn_norm: "ffn_norm",
      ffn_gate: "feed_forward.w1",
      ffn_up: "feed_forward.w3",
      ffn_down: "feed_forward.w2",
      "shortconv.conv": "conv.conv",
      "shortconv.in_proj": "conv.in_proj",
      "shortconv.out_proj": "conv.out_proj",
    },
    model: { token_embd_norm: "model.embedding_norm" },
    shapes: { "shortconv.conv": (stored) => (stored.length === 2 ? [stored[0]!, 1, stored[1]!] : stored) },
    hasLayersWithoutHeads: true,
    fields: ofLfm2,
  },
  arcee: { modelType: "arcee", interleavesHeads: true, layer: {} },
  "hunyuan-dense": {
    modelType: "hunyuan_v1_dense",
    interleavesHeads: false,
    layer: { attn_q_norm: "self_attn.query_layernorm", attn_k_norm: "self_attn.key_layernorm" },
  },
  smollm3: { modelType: "smollm3", interleavesHeads: true, layer: {} },
  olmo2: {
    modelType: "olmo2",
    otherTypes: ["olmo3"],
    interleavesHeads: false,
    layer: { ...QK_NORMS, ...NORMS_AFTER },
    fields: ofOlmo2,
  },
  exaone4: {
    modelType: "exaone4",
    interleavesHeads: false,
    layer: { ...QK_NORMS, ...NORMS_AFTER },
    fields: ofExaone4,
  },
  mistral3: {
    modelType: "mistral",
    otherTypes: ["ministral3"],
    interleavesHeads: true,
    layer: {},
    fields: ofMistral3,
    ropeFields: ropeOfMistral3,
    reads: ["attention.temperature_scale", "rope.scaling.yarn_log_multiplier"],
  },
  glm4: {
    modelType: "glm4",
    interleavesHeads: false,
    layer: {
      post_attention_norm: "post_self_attn_layernorm",
      post_ffw_norm: "post_mlp_layernorm",
      ffn_up: "mlp.gate_up_proj",
    },
    hasPartialRope: true,
    biases: "qkv",
    fields: ofAttentionBias,
  },
  ernie4_5: { modelType: "ernie4_5", interleavesHeads: false, layer: {} },
  seed_oss: {
    modelType: "seed_oss",
    interleavesHeads: false,
    // The norm of what the feed-forward reads has the name that others have for one of what attention adds.
    layer: { post_attention_norm: "post_attention_layernorm" },
    biases: "qkv",
    fields: ofSeedOss,
  },
  cohere2: {
    modelType: "cohere2",
    interleavesHeads: false,
    layer: {},
    hasLayerNorm: true,
    fields: ofCohere2,
    reads: ["logit_scale"],
  },
  phi2: {
    modelType: "phi",
    interleavesHeads: false,
    layer: { attn_output: "self_attn.dense", ffn_up: "mlp.fc1", ffn_down: "mlp.fc2" },
    model: { output_norm: "model.final_layernorm" },
    biases: "all",
    hasPartialRope: true,
    hasLayerNorm: true,
    fields: ofPhi2,
  },
  starcoder2: {
    modelType: "starcoder2",
    interleavesHeads: false,
    layer: { ffn_up: "mlp.c_fc", ffn_down: "mlp.c_proj" },
    biases: "all",
    hasLayerNorm: true,
    fields: ofStarcoder2,
  },
};

/** The model types that files of an architecture may be. */
export const typesOf = ({ modelType, otherTypes = [], withExperts }: GgufArchitecture): string[] => [
  modelType,
  ...otherTypes,
  ...(withExperts ? typesOf(withExperts) : []),
];

/** Tensors outside the layers, by name in the file. */
export const MODEL_TENSORS = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
};

/** Tensors of every layer; biases have the same names with `bias` in the place of `weight`. */
export const LAYER_TENSORS = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** Tensors whose names end there, without `.weight`. */
const BARE = new Set(["self_attn.sinks"]);

/** `blk.3.attn_q.weight` as Transformers calls it; undefined for a tensor that the decoder does not use. */
export function canonicalName(stored: string, architecture: GgufArchitecture): string | undefined {
  const layer = /^blk\.(0|[1-9]\d*)\.([\w.]+)\.(weight|bias)$/.exec(stored);
  if (layer) {
    const [, index, part, kind] = layer;
    const names: Readonly<Record<string, string>> = { ...LAYER_TENSORS, ...architecture.layer };
    if (!Object.hasOwn(names, part!)) return undefined;
    const own = names[part!]!;
    return `model.layers.${index}.${own}${BARE.has(own) ? "" : `.${kind}`}`;
  }
  const [, part, kind] = /^(\w+)\.(weight|bias)$/.exec(stored) ?? [];
  const names: Readonly<Record<string, string>> = { ...MODEL_TENSORS, ...architecture.model };
  return part !== undefined && Object.hasOwn(names, part) ? `${names[part]}.${kind}` : undefined;
}

/** The way back: what files of this architecture call a tensor. */
export function storedName(name: string, architecture: GgufArchitecture): string {
  const [, layer, full = ""] = /^(?:model\.layers\.(\d+)\.)?(.+)$/.exec(name) ?? [];
  const [, own = full, kind = "weight"] = BARE.has(full) ? [] : (/^(.+)\.(weight|bias)$/.exec(full) ?? []);
  const names =
    layer === undefined
      ? { ...MODEL_TENSORS, ...architecture.model }
      : { ...architecture.layer, ...LAYER_TENSORS, ...architecture.layer };
  // An architecture's own names come before those of all others.
  const part = Object.entries(names).find(([, canonical]) => canonical === own)?.[0];
  if (part === undefined) return name;
  return layer === undefined ? `${part}.${kind}` : `blk.${layer}.${part}.${kind}`;
}
