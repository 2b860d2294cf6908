/** @file What families call their tensors, as Transformers saves them; `.weight` and `.bias` follow. */

export interface TensorNames {
  readonly embedding: string;
  readonly positions: string;
  readonly embeddingNorm: string;
  readonly finalNorm: string;
  readonly head: string;
  /** The number of the layer, a dot, and one of the names below follow. */
  readonly layers: string;
  readonly attentionNorm: string;
  readonly attentionPostNorm: string;
  readonly q: string;
  readonly k: string;
  readonly v: string;
  /** q, k and v in one tensor. */
  readonly qkv: string;
  readonly qNorm: string;
  readonly kNorm: string;
  readonly attentionSubNorm: string;
  /** A learned logit of each query head. */
  readonly sinkLogits: string;
  /** Of attention's output. */
  readonly outputGate: string;
  readonly output: string;
  readonly feedForwardNorm: string;
  readonly feedForwardPostNorm: string;
  readonly gate: string;
  readonly up: string;
  /** gate and up in one tensor. */
  readonly gateUp: string;
  /** What an activation has learned. */
  readonly activation: string;
  readonly feedForwardSubNorm: string;
  readonly perLayerPostNorm: string;
  /** The whole name: nothing follows. */
  readonly layerFactor: string;
  readonly down: string;
}

export const LLAMA_NAMES: TensorNames = {
  embedding: "model.embed_tokens",
  positions: "model.embed_positions",
  embeddingNorm: "model.embed_norm",
  finalNorm: "model.norm",
  head: "lm_head",
  layers: "model.layers.",
  attentionNorm: "input_layernorm",
  attentionPostNorm: "post_attention_layernorm",
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  qkv: "self_attn.qkv_proj",
  qNorm: "self_attn.q_norm",
  kNorm: "self_attn.k_norm",
  attentionSubNorm: "self_attn.attn_sub_norm",
  sinkLogits: "self_attn.sinks",
  outputGate: "self_attn.gate_proj",
  output: "self_attn.o_proj",
  feedForwardNorm: "post_attention_layernorm",
  feedForwardPostNorm: "post_feedforward_layernorm",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  gateUp: "mlp.gate_up_proj",
  activation: "mlp.act_fn",
  feedForwardSubNorm: "mlp.ffn_sub_norm",
  perLayerPostNorm: "post_per_layer_input_norm",
  layerFactor: "layer_scalar",
  down: "mlp.down_proj",
};
