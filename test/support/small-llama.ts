/** @file The config of a small Llama, for tests of what configs say. */
import { parseModelConfig } from "../../src/models/config.ts";
import type { ModelConfig } from "../../src/models/model-config.ts";

export const SMALL_LLAMA = {
  model_type: "llama",
  vocab_size: 1000,
  hidden_size: 64,
  num_hidden_layers: 4,
  num_attention_heads: 8,
  intermediate_size: 128,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-5,
};

/** over: fields that are added or replaced. The file is `m/config.json` in messages. */
export const parseSmall = (over: object): ModelConfig => parseModelConfig({ ...SMALL_LLAMA, ...over }, "m/config.json");
