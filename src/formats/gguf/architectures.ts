/** @file Architectures of GGUF files that we run. */
import { type GgufArchitecture, NORMS_AROUND, QK_NORMS } from "./architecture.ts";
import {
  GRANITE_KEYS,
  madeOfApertus,
  ofAttentionBias,
  ofBaichuan,
  ofBitnet,
  ofCohere,
  ofCohere2,
  ofExaone4,
  ofFalcon,
  ofGlm4,
  ofGpt2,
  ofGptNeox,
  ofGranite,
  ofMinicpm,
  ofMistral3,
  ofNemotron,
  ofOlmo2,
  ofOrion,
  ofPhi2,
  ofPhi3,
  ofQwen,
  ofSeedOss,
  ofStablelm,
  ofStarcoder,
  ofStarcoder2,
  ropeOfMistral3,
} from "./dense-fields.ts";
import { EXPERT_ARCHITECTURES, MIXTRAL } from "./expert-architectures.ts";
import { ofGemma, ofGemma2, ofGemma3 } from "./gemma-fields.ts";
import { GEMMA3N } from "./gemma3n-fields.ts";
import { GEMMA4 } from "./gemma4-fields.ts";
import { MIMO2 } from "./mimo2-fields.ts";
import { STATE_ARCHITECTURES } from "./state-architectures.ts";

const NORMS_AFTER = {
  post_attention_norm: "post_attention_layernorm",
  post_ffw_norm: "post_feedforward_layernorm",
};

const LLAMA: GgufArchitecture = { modelType: "llama", interleavesHeads: false, layer: {}, biases: "products" };

const QWEN2: GgufArchitecture = { modelType: "qwen2", interleavesHeads: false, layer: {}, biases: "qkv" };

const QWEN3: GgufArchitecture = {
  modelType: "qwen3",
  interleavesHeads: false,
  layer: QK_NORMS,
  biases: "qkv",
  fields: ofAttentionBias,
};

const GPT2: Omit<GgufArchitecture, "modelType"> = {
  interleavesHeads: false,
  layers: "transformer.h.",
  layer: {
    attn_norm: "ln_1",
    attn_qkv: "attn.c_attn",
    attn_output: "attn.c_proj",
    ffn_norm: "ln_2",
    ffn_up: "mlp.c_fc",
    ffn_down: "mlp.c_proj",
  },
  model: { token_embd: "transformer.wte", position_embd: "transformer.wpe", output_norm: "transformer.ln_f" },
  biases: "all",
  hasLayerNorm: true,
};

const STABLELM: GgufArchitecture = {
  modelType: "stablelm",
  interleavesHeads: false,
  layer: {},
  biases: "all",
  hasLayerNorm: true,
};

export const ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  llama: { ...LLAMA, interleavesHeads: true, withExperts: MIXTRAL },
  // Models that are computed as llamas, and have files of an architecture of their own.
  baichuan: { ...LLAMA, interleavesHeads: true, fields: ofBaichuan },
  xverse: { ...LLAMA, interleavesHeads: true },
  exaone: LLAMA,
  "pangu-embedded": LLAMA,
  // q, k and v are apart in its files.
  internlm2: { modelType: "llama", interleavesHeads: true, layer: {} },
  minicpm: { modelType: "granite", interleavesHeads: true, layer: {}, fields: ofMinicpm, reads: GRANITE_KEYS },
  qwen2: QWEN2,
  // Text has the same number in all parts of a position, for which rope is the usual one.
  qwen2vl: QWEN2,
  qwen: { ...QWEN2, hasOwnWidths: true, fields: ofQwen },
  qwen3: QWEN3,
  qwen3vl: QWEN3,
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
    withImages: "gemma3",
    fields: ofGemma3,
    reads: ["final_logit_softcapping"],
  },
  gemma3n: GEMMA3N,
  gemma4: GEMMA4,
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
    reads: GRANITE_KEYS,
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
  chatglm: {
    modelType: "glm",
    interleavesHeads: false,
    layer: { ffn_up: "mlp.gate_up_proj" },
    hasPartialRope: true,
    biases: "qkv",
    fields: ofAttentionBias,
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
    fields: ofGlm4,
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
  "command-r": {
    modelType: "cohere",
    interleavesHeads: false,
    layer: QK_NORMS,
    hasLayerNorm: true,
    fields: ofCohere,
    reads: ["logit_scale"],
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
  apertus: {
    modelType: "apertus",
    interleavesHeads: false,
    layer: { ...QK_NORMS, attn_norm: "attention_layernorm", ffn_norm: "feedforward_layernorm" },
    made: madeOfApertus,
  },
  bitnet: {
    modelType: "bitnet",
    interleavesHeads: false,
    layer: { attn_sub_norm: "self_attn.attn_sub_norm", ffn_sub_norm: "mlp.ffn_sub_norm" },
    fields: ofBitnet,
  },
  gptneox: {
    modelType: "gpt_neox",
    interleavesHeads: false,
    layers: "gpt_neox.layers.",
    layer: {
      attn_qkv: "attention.query_key_value",
      attn_output: "attention.dense",
      ffn_up: "mlp.dense_h_to_4h",
      ffn_down: "mlp.dense_4h_to_h",
    },
    model: { token_embd: "gpt_neox.embed_in", output_norm: "gpt_neox.final_layer_norm", output: "embed_out" },
    biases: "all",
    hasPartialRope: true,
    hasLayerNorm: true,
    fields: ofGptNeox,
    reads: ["use_parallel_residual"],
  },
  gpt2: { ...GPT2, modelType: "gpt2", fields: ofGpt2 },
  starcoder: { ...GPT2, modelType: "gpt_bigcode", fields: ofStarcoder },
  falcon: {
    modelType: "falcon",
    interleavesHeads: false,
    layers: "transformer.h.",
    layer: {
      attn_qkv: "self_attention.query_key_value",
      attn_output: "self_attention.dense",
      ffn_up: "mlp.dense_h_to_4h",
      ffn_down: "mlp.dense_4h_to_h",
    },
    withPart: { part: "attn_norm_2", layer: { attn_norm: "ln_mlp", attn_norm_2: "ln_attn" } },
    model: { token_embd: "transformer.word_embeddings", output_norm: "transformer.ln_f" },
    biases: "all",
    hasLayerNorm: true,
    fields: ofFalcon,
  },
  stablelm: {
    ...STABLELM,
    layerSlices: {
      attn_q_norm: (head) => `self_attn.q_layernorm.norms.${head}.weight`,
      attn_k_norm: (head) => `self_attn.k_layernorm.norms.${head}.weight`,
    },
    hasPartialRope: true,
    fields: ofStablelm,
    reads: ["use_parallel_residual"],
  },
  orion: { ...STABLELM, fields: ofOrion },
  nemotron: {
    modelType: "nemotron",
    interleavesHeads: false,
    layer: {},
    biases: "all",
    hasPartialRope: true,
    hasLayerNorm: true,
    fields: ofNemotron,
  },
  mimo2: MIMO2,
  ...EXPERT_ARCHITECTURES,
  ...STATE_ARCHITECTURES,
};
