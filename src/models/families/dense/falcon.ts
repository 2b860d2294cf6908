/** @file Falcon: parallel blocks, LayerNorm, GELU without a gate, q, k and v in one tensor: one KV head, or KV head by KV head. */

import type { ConfigFields } from "../../config-fields.ts";
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";
import { fourTimesHidden } from "./gpt2.ts";

const isNew = (config: ConfigFields): boolean => config.boolean("new_decoder_architecture", false);
const hasOneHead = (config: ConfigFields): boolean => !isNew(config) && config.boolean("multi_query", true);
const isParallel = (config: ConfigFields): boolean => isNew(config) || config.boolean("parallel_attn", true);
const hasTwoNorms = (config: ConfigFields): boolean =>
  isNew(config) && config.integer("num_ln_in_parallel_attn", 1, 2, 2) === 2;

export const falcon: Family = {
  modelType: "falcon",
  summary:
    "parallel blocks behind a LayerNorm or two; GELU without a gate; fused q, k, v of one KV head or KV head by KV head",
  slidingWindow: "none",
  numKvHeads(config, numHeads) {
    if (hasOneHead(config)) return 1;
    return config.integer("num_kv_heads", 1, numHeads, numHeads);
  },
  fields: { intermediate_size: "ffn_hidden_size" },
  activationField: "activation",
  normEpsField: "layer_norm_epsilon",
  intermediateSize: fourTimesHidden,
  defaults: {
    numHeads: 71,
    vocabSize: 65_024,
    hiddenAct: "gelu",
    normEps: 1e-5,
    maxPosition: 2048,
    bosTokenId: 11,
    eosTokenId: 11,
    tieWordEmbeddings: true,
  },
  names: {
    embedding: "transformer.word_embeddings",
    finalNorm: "transformer.ln_f",
    layers: "transformer.h.",
    qkv: "self_attention.query_key_value",
    output: "self_attention.dense",
    up: "mlp.dense_h_to_4h",
    down: "mlp.dense_4h_to_h",
  },
  namesOf: (config) => (hasTwoNorms(config) ? { attentionNorm: "ln_attn", feedForwardNorm: "ln_mlp" } : {}),
  traits(config) {
    if (config.boolean("alibi", false))
      throw config.unsupported("alibi", "ALiBi positions are not supported; expected false, which is rope");
    const hasBias = config.boolean("bias", false);
    return {
      norm: "layer",
      parallel: !isParallel(config) ? "no" : hasTwoNorms(config) ? "own" : "shared",
      isGated: false,
      // The field is none of its own: GGUF files say false, as they have q, k and v one behind the other.
      fusedQkv: hasOneHead(config) || !config.boolean("split_qkv_heads", true) ? "rows" : "heads",
      biases: { ...LLAMA_TRAITS.biases, qkv: hasBias, output: hasBias, feedForward: hasBias, norm: true },
    };
  },
};
