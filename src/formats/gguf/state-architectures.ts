/** @file GGUF architectures whose layers have states of fixed size: delta nets, state spaces, short convolutions. */
import { type GgufArchitecture, QK_NORMS } from "./architecture.ts";
import { GRANITE_KEYS, ofLfm2 } from "./dense-fields.ts";
import { GATE_UP_EXPERTS, GRANITE_SHARED_TENSORS } from "./expert-architectures.ts";
import { BLOCK_SPARSE_TENSORS, MLP_EXPERT_TENSORS, ROUTER_KEYS, sharedTensors } from "./expert-fields.ts";
import { latentTensors, ofBailingmoe3, ofKimiLinear } from "./latent-fields.ts";
import {
  FLAT,
  LOG_OF_NEGATIVE,
  mamba2Tensors,
  ofFalconH1,
  ofGraniteHybrid,
  ofJamba,
  ofLfm2Moe,
  ofMamba2,
  ofNemotronH,
  ofQwen3Next,
  ofQwen35,
  ofQwen35Moe,
  TAPS,
} from "./state-fields.ts";

/** Of delta attention by channel. prefix: of the tensors in the layer */
const kimiDeltaTensors = (prefix: string) => ({
  ssm_conv1d_q: `${prefix}q_conv1d`,
  ssm_conv1d_k: `${prefix}k_conv1d`,
  ssm_conv1d_v: `${prefix}v_conv1d`,
  ssm_beta: `${prefix}b_proj`,
  ssm_norm: `${prefix}o_norm`,
});
const KIMI_DELTA_SHAPES = { ssm_a: FLAT, ssm_conv1d_q: TAPS, ssm_conv1d_k: TAPS, ssm_conv1d_v: TAPS };

const LFM2: GgufArchitecture = {
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
  // Files of before have the first name.
  model: { token_embd_norm: "model.embedding_norm", output_norm: "model.embedding_norm" },
  shapes: { "shortconv.conv": TAPS },
  hasLayersWithoutHeads: true,
  fields: ofLfm2,
};

const DELTA_NET = {
  layer: {
    attn_qkv: "linear_attn.in_proj_qkv",
    attn_gate: "linear_attn.in_proj_z",
    ssm_conv1d: "linear_attn.conv1d",
    ssm_norm: "linear_attn.norm",
    ssm_out: "linear_attn.out_proj",
  },
  whole: { ssm_a: "linear_attn.A_log", "ssm_dt.bias": "linear_attn.dt_bias" },
  shapes: { ssm_conv1d: TAPS },
  values: { ssm_a: LOG_OF_NEGATIVE },
};

const QWEN_EXPERTS = {
  layer: {
    ...MLP_EXPERT_TENSORS,
    ffn_gate_inp_shexp: "mlp.shared_expert_gate",
    ...sharedTensors("mlp.shared_expert"),
  },
  shapes: { ffn_gate_inp_shexp: (stored: readonly number[]) => (stored.length === 1 ? [1, ...stored] : stored) },
};

const QWEN35: GgufArchitecture = {
  modelType: "qwen3_5_text",
  interleavesHeads: false,
  layer: {
    ...QK_NORMS,
    ...DELTA_NET.layer,
    post_attention_norm: "post_attention_layernorm",
    ssm_beta: "linear_attn.in_proj_b",
    ssm_alpha: "linear_attn.in_proj_a",
  },
  whole: DELTA_NET.whole,
  shapes: DELTA_NET.shapes,
  values: DELTA_NET.values,
  hasPartialRope: true,
  fields: ofQwen35,
};

const [FALCON_MAMBA, NEMOTRON_MAMBA] = [mamba2Tensors("mamba."), mamba2Tensors("mixer.")];

const NEMOTRON_H: GgufArchitecture = {
  modelType: "nemotron_h",
  interleavesHeads: false,
  layers: "backbone.layers.",
  layer: {
    attn_norm: "norm",
    attn_q: "mixer.q_proj",
    attn_k: "mixer.k_proj",
    attn_v: "mixer.v_proj",
    attn_output: "mixer.o_proj",
    ffn_up: "mixer.up_proj",
    ffn_down: "mixer.down_proj",
    ffn_latent_down: "mixer.fc1_latent_proj",
    ffn_latent_up: "mixer.fc2_latent_proj",
    ...NEMOTRON_MAMBA.layer,
  },
  model: { token_embd: "backbone.embeddings", output_norm: "backbone.norm_f" },
  whole: NEMOTRON_MAMBA.whole,
  shapes: NEMOTRON_MAMBA.shapes,
  values: NEMOTRON_MAMBA.values,
  hasLayersWithoutHeads: true,
  // Files say it of rope, which no layer has.
  hasPartialRope: true,
  hasLayerNorm: true,
  fields: ofNemotronH,
  reads: ROUTER_KEYS,
};

export const STATE_ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  lfm2: LFM2,
  lfm2moe: {
    ...LFM2,
    modelType: "lfm2_moe",
    layer: {
      ...LFM2.layer,
      ffn_gate_inp: "feed_forward.gate",
      ffn_gate_exps: "feed_forward.experts.w1",
      ffn_up_exps: "feed_forward.experts.w3",
      ffn_down_exps: "feed_forward.experts.w2",
    },
    whole: { "exp_probs_b.bias": "feed_forward.expert_bias" },
    fields: ofLfm2Moe,
    reads: ROUTER_KEYS,
  },
  qwen35: QWEN35,
  qwen35moe: {
    ...QWEN35,
    modelType: "qwen3_5_moe_text",
    layer: { ...QWEN35.layer, ...QWEN_EXPERTS.layer },
    whole: { ...QWEN35.whole, ...GATE_UP_EXPERTS },
    shapes: { ...QWEN35.shapes, ...QWEN_EXPERTS.shapes },
    fields: ofQwen35Moe,
    reads: ROUTER_KEYS,
  },
  qwen3next: {
    ...QWEN35,
    modelType: "qwen3_next",
    layer: {
      ...QK_NORMS,
      ...DELTA_NET.layer,
      ...QWEN_EXPERTS.layer,
      post_attention_norm: "post_attention_layernorm",
      ssm_in: "linear_attn.in_proj_qkvz",
      ssm_ba: "linear_attn.in_proj_ba",
    },
    whole: { ...DELTA_NET.whole, ...GATE_UP_EXPERTS },
    shapes: { ...DELTA_NET.shapes, ...QWEN_EXPERTS.shapes },
    fields: ofQwen3Next,
    reads: ROUTER_KEYS,
  },
  "falcon-h1": {
    modelType: "falcon_h1",
    interleavesHeads: false,
    layer: {
      ...FALCON_MAMBA.layer,
      ffn_norm: "pre_ff_layernorm",
      ffn_gate: "feed_forward.gate_proj",
      ffn_up: "feed_forward.up_proj",
      ffn_down: "feed_forward.down_proj",
    },
    model: { output_norm: "model.final_layernorm" },
    // Its converter leaves the end of this name out.
    whole: { ...FALCON_MAMBA.whole, ffn_norm: "pre_ff_layernorm.weight" },
    shapes: FALCON_MAMBA.shapes,
    values: FALCON_MAMBA.values,
    fields: ofFalconH1,
  },
  granitehybrid: {
    modelType: "granitemoehybrid",
    otherTypes: ["bamba"],
    interleavesHeads: true,
    layer: {
      ...FALCON_MAMBA.layer,
      ...BLOCK_SPARSE_TENSORS,
      ffn_gate_inp: "block_sparse_moe.router.layer",
      ...GRANITE_SHARED_TENSORS,
      ffn_down: "shared_mlp.output_linear",
    },
    whole: FALCON_MAMBA.whole,
    shapes: FALCON_MAMBA.shapes,
    values: FALCON_MAMBA.values,
    hasLayersWithoutHeads: true,
    hasPartialRope: true,
    fields: ofGraniteHybrid,
    reads: [...GRANITE_KEYS, ...ROUTER_KEYS],
  },
  nemotron_h: NEMOTRON_H,
  nemotron_h_moe: {
    ...NEMOTRON_H,
    layer: {
      ...NEMOTRON_H.layer,
      ffn_gate_inp: "mixer.gate",
      ffn_up_exps: "mixer.experts.up_proj",
      ffn_down_exps: "mixer.experts.down_proj",
      ffn_up_shexp: "mixer.shared_experts.up_proj",
      ffn_down_shexp: "mixer.shared_experts.down_proj",
    },
    whole: { ...NEMOTRON_H.whole, "exp_probs_b.bias": "mixer.gate.e_score_correction_bias" },
  },
  mamba2: {
    modelType: "mamba2",
    interleavesHeads: false,
    layers: "backbone.layers.",
    layer: { attn_norm: "norm", ...NEMOTRON_MAMBA.layer },
    model: { token_embd: "backbone.embeddings", output_norm: "backbone.norm_f" },
    whole: NEMOTRON_MAMBA.whole,
    shapes: NEMOTRON_MAMBA.shapes,
    values: NEMOTRON_MAMBA.values,
    attention: "none",
    fields: ofMamba2,
  },
  jamba: {
    modelType: "jamba",
    interleavesHeads: false,
    layer: {
      ssm_in: "mamba.in_proj",
      ssm_conv1d: "mamba.conv1d",
      ssm_x: "mamba.x_proj",
      ssm_dt: "mamba.dt_proj",
      ssm_dt_norm: "mamba.dt_layernorm",
      ssm_b_norm: "mamba.b_layernorm",
      ssm_c_norm: "mamba.c_layernorm",
      ssm_out: "mamba.out_proj",
      ffn_norm: "pre_ff_layernorm",
      ffn_gate: "feed_forward.gate_proj",
      ffn_up: "feed_forward.up_proj",
      ffn_down: "feed_forward.down_proj",
      ffn_gate_inp: "feed_forward.router",
      ffn_gate_exps: "feed_forward.experts.gate_proj",
      ffn_up_exps: "feed_forward.experts.up_proj",
      ffn_down_exps: "feed_forward.experts.down_proj",
    },
    model: { output_norm: "model.final_layernorm" },
    whole: {
      ssm_a: "mamba.A_log",
      ssm_d: "mamba.D",
      "ssm_dt.bias": "mamba.dt_proj.bias",
      "ssm_conv1d.bias": "mamba.conv1d.bias",
    },
    shapes: { ssm_conv1d: TAPS },
    values: { ssm_a: LOG_OF_NEGATIVE },
    hasLayersWithoutHeads: true,
    fields: ofJamba,
    reads: ROUTER_KEYS,
  },
  "kimi-linear": {
    modelType: "kimi_linear",
    interleavesHeads: false,
    layer: {
      ...latentTensors("self_attn."),
      ...BLOCK_SPARSE_TENSORS,
      ...sharedTensors("block_sparse_moe.shared_experts"),
      ...kimiDeltaTensors("self_attn."),
      ssm_f_a: "self_attn.f_a_proj",
      ssm_f_b: "self_attn.f_b_proj",
      ssm_g_a: "self_attn.g_a_proj",
      ssm_g_b: "self_attn.g_b_proj",
    },
    whole: {
      ssm_a: "self_attn.A_log",
      "ssm_dt.bias": "self_attn.dt_bias",
      "exp_probs_b.bias": "block_sparse_moe.gate.e_score_correction_bias",
    },
    shapes: KIMI_DELTA_SHAPES,
    values: { ssm_a: LOG_OF_NEGATIVE },
    attention: "latent",
    hasLayersWithoutHeads: true,
    fields: ofKimiLinear,
    reads: ROUTER_KEYS,
  },
  bailingmoe3: {
    modelType: "bailing_hybrid",
    interleavesHeads: false,
    layer: {
      ...latentTensors("attention."),
      ...MLP_EXPERT_TENSORS,
      ...sharedTensors("mlp.shared_experts"),
      ...kimiDeltaTensors("attention."),
      attn_q: "attention.q_proj",
      attn_k: "attention.k_proj",
      attn_v: "attention.v_proj",
      attn_output: "attention.dense",
      attn_gate: "attention.g_proj",
      ssm_f_a: "attention.f_proj",
      ssm_g_a: "attention.g_proj",
    },
    model: { token_embd: "model.word_embeddings" },
    whole: {
      ssm_a: "attention.A_log",
      "ssm_dt.bias": "attention.dt_bias",
      "exp_probs_b.bias": "mlp.gate.expert_bias",
    },
    shapes: KIMI_DELTA_SHAPES,
    // Its converter leaves the sign out.
    values: { ssm_a: Math.log },
    attention: "latent",
    hasLayersWithoutHeads: true,
    fields: ofBailingmoe3,
    reads: ROUTER_KEYS,
  },
};
