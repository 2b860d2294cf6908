/** @file GGUF architectures of mixtures of experts, and of latent attention. */
import { type GgufArchitecture, QK_NORMS } from "./architecture.ts";
import { GRANITE_KEYS } from "./dense-fields.ts";
import {
  BLOCK_SPARSE_TENSORS,
  EXPERT_KEYS,
  MLP_EXPERT_TENSORS,
  ofAfmoe,
  ofBailingmoe2,
  ofCohere2Moe,
  ofDeepseek,
  ofDots1,
  ofErnieMoe,
  ofExaoneMoe,
  ofGlm4Moe,
  ofGptOss,
  ofGraniteMoe,
  ofGraniteSwa,
  ofHunyuanMoe,
  ofHyV3,
  ofLlama4,
  ofMinimaxM2,
  ofMixtral,
  ofOlmoe,
  ofPhimoe,
  ofQwen2Moe,
  ofQwen3Moe,
  ROUTER_KEYS,
  ropeOfGptOss,
  sharedTensors,
} from "./expert-fields.ts";
import {
  INDEXER_TENSORS,
  latentTensors,
  ofDeepseek2,
  ofIndexed,
  ofMinicpm3,
  ropeOfDeepseek2,
} from "./latent-fields.ts";

export const MIXTRAL: GgufArchitecture = {
  modelType: "mixtral",
  interleavesHeads: true,
  layer: BLOCK_SPARSE_TENSORS,
  fields: ofMixtral,
  reads: EXPERT_KEYS,
};

/** Of files with gate and up in one tensor. */
export const GATE_UP_EXPERTS = { "ffn_gate_up_exps.weight": "mlp.experts.gate_up_proj" };

/** Beside Granite's experts; gate and up are one tensor elsewhere. */
export const GRANITE_SHARED_TENSORS = {
  ffn_gate_shexp: "mlp.gate_proj",
  ffn_up_shexp: "mlp.up_proj",
  ffn_down_shexp: "shared_mlp.output_linear",
};

const CHOICE_BIAS = { "exp_probs_b.bias": "mlp.gate.e_score_correction_bias" };

const QWEN3MOE: GgufArchitecture = {
  modelType: "qwen3_moe",
  interleavesHeads: false,
  layer: { ...QK_NORMS, ...MLP_EXPERT_TENSORS },
  whole: GATE_UP_EXPERTS,
  biases: "qkv",
  fields: ofQwen3Moe,
  reads: EXPERT_KEYS,
};

/** Computed as GLM 4.5 is, with another way of scoring. */
const DEEPSEEK: GgufArchitecture = {
  modelType: "glm4_moe",
  interleavesHeads: true,
  layer: { ...MLP_EXPERT_TENSORS, ...sharedTensors("mlp.shared_experts") },
  hasPartialRope: true,
  fields: ofDeepseek,
  reads: ROUTER_KEYS,
};

/** Where an indexer chooses the tokens that are attended to. */
const INDEXED: GgufArchitecture = {
  modelType: "deepseek_v32",
  interleavesHeads: false,
  layer: {
    ...latentTensors("self_attn."),
    ...INDEXER_TENSORS,
    ...MLP_EXPERT_TENSORS,
    ...sharedTensors("mlp.shared_experts"),
  },
  whole: { ...CHOICE_BIAS, ...GATE_UP_EXPERTS, "indexer.k_norm.bias": "self_attn.indexer.k_norm.bias" },
  attention: "latent",
  fields: ofIndexed,
  ropeFields: ropeOfDeepseek2,
  reads: [...ROUTER_KEYS, "rope.scaling.yarn_log_multiplier"],
};

export const EXPERT_ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  qwen3moe: QWEN3MOE,
  // As for those without experts, text has the usual rope.
  qwen3vlmoe: QWEN3MOE,
  qwen2moe: {
    modelType: "qwen2_moe",
    interleavesHeads: false,
    layer: {
      ...MLP_EXPERT_TENSORS,
      ffn_gate_inp_shexp: "mlp.shared_expert_gate",
      ...sharedTensors("mlp.shared_expert"),
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
      post_attention_norm: "post_attention_layernorm",
    },
    whole: { "attn_sinks.weight": "self_attn.sinks" },
    biases: "all",
    fields: ofGptOss,
    ropeFields: ropeOfGptOss,
    reads: EXPERT_KEYS,
  },
  granitemoe: {
    modelType: "granitemoe",
    otherTypes: ["granitemoeshared"],
    interleavesHeads: true,
    layer: { ...BLOCK_SPARSE_TENSORS, ffn_gate_inp: "block_sparse_moe.router.layer", ...GRANITE_SHARED_TENSORS },
    fields: ofGraniteMoe,
    reads: [...GRANITE_KEYS, ...EXPERT_KEYS],
  },
  deepseek2: {
    modelType: "deepseek_v2",
    otherTypes: ["deepseek_v3", "kimi_k2", "glm4_moe_lite"],
    interleavesHeads: false,
    layer: { ...latentTensors("self_attn."), ...MLP_EXPERT_TENSORS, ...sharedTensors("mlp.shared_experts") },
    whole: { ...CHOICE_BIAS, ...GATE_UP_EXPERTS },
    attention: "latent",
    fields: ofDeepseek2,
    ropeFields: ropeOfDeepseek2,
    reads: [...ROUTER_KEYS, "rope.scaling.yarn_log_multiplier"],
  },
  deepseek: DEEPSEEK,
  bailingmoe: DEEPSEEK,
  bailingmoe2: {
    modelType: "glm4_moe",
    interleavesHeads: false,
    layer: { ...QK_NORMS, ...MLP_EXPERT_TENSORS, ...sharedTensors("mlp.shared_experts") },
    whole: CHOICE_BIAS,
    hasPartialRope: true,
    fields: ofBailingmoe2,
    reads: ROUTER_KEYS,
  },
  deepseek32: INDEXED,
  "glm-dsa": { ...INDEXED, modelType: "glm_moe_dsa" },
  minicpm3: {
    modelType: "minicpm3",
    interleavesHeads: false,
    layer: latentTensors("self_attn."),
    attention: "latent",
    fields: ofMinicpm3,
  },
  glm4moe: {
    modelType: "glm4_moe",
    otherTypes: ["solar_open"],
    interleavesHeads: false,
    layer: {
      ...QK_NORMS,
      ...MLP_EXPERT_TENSORS,
      ...sharedTensors("mlp.shared_experts"),
      post_attention_norm: "post_attention_layernorm",
    },
    whole: CHOICE_BIAS,
    biases: "qkv",
    hasPartialRope: true,
    fields: ofGlm4Moe,
    reads: ROUTER_KEYS,
  },
  "minimax-m2": {
    modelType: "minimax_m2",
    interleavesHeads: false,
    layer: { ...QK_NORMS, ...BLOCK_SPARSE_TENSORS },
    whole: { "exp_probs_b.bias": "block_sparse_moe.e_score_correction_bias" },
    hasPartialRope: true,
    fields: ofMinimaxM2,
    reads: ROUTER_KEYS,
  },
  llama4: {
    modelType: "llama4_text",
    interleavesHeads: false,
    layer: {
      ffn_gate: "feed_forward.gate_proj",
      ffn_up: "feed_forward.up_proj",
      ffn_down: "feed_forward.down_proj",
      ffn_gate_inp: "feed_forward.router",
      ffn_gate_exps: "feed_forward.experts.gate_proj",
      ffn_up_exps: "feed_forward.experts.up_proj",
      ffn_down_exps: "feed_forward.experts.down_proj",
      ...sharedTensors("feed_forward.shared_expert"),
    },
    fields: ofLlama4,
    reads: ROUTER_KEYS,
  },
  dots1: {
    modelType: "dots1",
    interleavesHeads: false,
    layer: { ...QK_NORMS, ...MLP_EXPERT_TENSORS, ...sharedTensors("mlp.shared_experts") },
    whole: CHOICE_BIAS,
    fields: ofDots1,
    reads: ROUTER_KEYS,
  },
  afmoe: {
    modelType: "afmoe",
    interleavesHeads: false,
    layer: {
      ...QK_NORMS,
      ...MLP_EXPERT_TENSORS,
      ...sharedTensors("mlp.shared_experts"),
      attn_gate: "self_attn.gate_proj",
      post_attention_norm: "post_attention_layernorm",
      ffn_norm: "pre_mlp_layernorm",
      post_ffw_norm: "post_mlp_layernorm",
      ffn_gate_inp: "mlp.router.gate",
    },
    whole: { "exp_probs_b.bias": "mlp.expert_bias" },
    fields: ofAfmoe,
    reads: ROUTER_KEYS,
  },
  "exaone-moe": {
    modelType: "exaone_moe",
    interleavesHeads: false,
    layer: { ...QK_NORMS, ...MLP_EXPERT_TENSORS, ...sharedTensors("mlp.shared_experts") },
    whole: CHOICE_BIAS,
    fields: ofExaoneMoe,
    reads: ROUTER_KEYS,
  },
  "ernie4_5-moe": {
    modelType: "ernie4_5_moe",
    interleavesHeads: false,
    layer: { ...MLP_EXPERT_TENSORS, ...sharedTensors("mlp.shared_experts") },
    whole: { "exp_probs_b.bias": "mlp.moe_statics.e_score_correction_bias" },
    fields: ofErnieMoe,
    reads: ROUTER_KEYS,
  },
  "hunyuan-moe": {
    modelType: "hunyuan_v1_moe",
    interleavesHeads: false,
    layer: {
      attn_q_norm: "self_attn.query_layernorm",
      attn_k_norm: "self_attn.key_layernorm",
      ...MLP_EXPERT_TENSORS,
      ffn_gate_inp: "mlp.gate.wg",
      ...sharedTensors("mlp.shared_mlp"),
    },
    fields: ofHunyuanMoe,
    reads: EXPERT_KEYS,
  },
  hy_v3: {
    modelType: "hy_v3",
    interleavesHeads: false,
    layer: {
      ...QK_NORMS,
      ...MLP_EXPERT_TENSORS,
      ffn_gate_inp: "mlp.router.gate",
      ...sharedTensors("mlp.shared_mlp"),
    },
    // Its converter leaves the end of the name out.
    whole: { exp_probs_b: "mlp.expert_bias", "exp_probs_b.bias": "mlp.expert_bias" },
    fields: ofHyV3,
    reads: ROUTER_KEYS,
  },
  phimoe: {
    modelType: "phimoe",
    interleavesHeads: false,
    layer: BLOCK_SPARSE_TENSORS,
    biases: "all",
    fields: ofPhimoe,
    reads: EXPERT_KEYS,
  },
  cohere2moe: {
    modelType: "cohere2_moe",
    interleavesHeads: false,
    layer: { ...MLP_EXPERT_TENSORS, ...sharedTensors("mlp.shared_experts") },
    whole: GATE_UP_EXPERTS,
    hasLayerNorm: true,
    fields: ofCohere2Moe,
    reads: [...ROUTER_KEYS, "logit_scale"],
  },
  granite_swa: {
    modelType: "granite_swa",
    interleavesHeads: true,
    layer: {},
    whole: { "attn_sinks.weight": "self_attn.sinks" },
    fields: ofGraniteSwa,
    reads: GRANITE_KEYS,
  },
};
