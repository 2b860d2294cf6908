/** @file Names and shapes of the weights that a config calls for, checked before any of them is read. */
import { TurboQuantError } from "../errors.ts";
import type { Checkpoint } from "../formats/safetensors.ts";
import type { ModelConfig } from "./config.ts";

/** Every tensor of the model with its shape, in the order of the forward pass. Names as Transformers saves them. */
export function expectedWeights(config: ModelConfig): Map<string, readonly number[]> {
  const { hiddenSize, headDim, intermediateSize } = config;
  const q = config.numHeads * headDim;
  const kv = config.numKvHeads * headDim;
  const weights = new Map<string, readonly number[]>();
  weights.set("model.embed_tokens.weight", [config.vocabSize, hiddenSize]);
  for (let index = 0; index < config.numLayers; index++) {
    const add = (name: string, ...shape: number[]) => weights.set(`model.layers.${index}.${name}`, shape);
    add("input_layernorm.weight", hiddenSize);
    for (const [name, rows] of [
      ["q", q],
      ["k", kv],
      ["v", kv],
    ] as const) {
      add(`self_attn.${name}_proj.weight`, rows, hiddenSize);
      if (config.attentionBias) add(`self_attn.${name}_proj.bias`, rows);
    }
    if (config.qkNorm) {
      add("self_attn.q_norm.weight", headDim);
      add("self_attn.k_norm.weight", headDim);
    }
    add("self_attn.o_proj.weight", hiddenSize, q);
    add("post_attention_layernorm.weight", hiddenSize);
    add("mlp.gate_proj.weight", intermediateSize, hiddenSize);
    add("mlp.up_proj.weight", intermediateSize, hiddenSize);
    add("mlp.down_proj.weight", hiddenSize, intermediateSize);
  }
  weights.set("model.norm.weight", [hiddenSize]);
  if (!config.tieWordEmbeddings) weights.set("lm_head.weight", [config.vocabSize, hiddenSize]);
  return weights;
}

/**
 * Compares a checkpoint's headers with its config, so that a mismatch is said before gigabytes are read.
 * Tensors that the model does not use are ignored, as Transformers does (a tied head saved twice, rope buffers).
 * @throws TurboQuantError invalid_file — a tensor is missing or has another shape
 */
export function checkWeights(checkpoint: Checkpoint, config: ModelConfig, name: string): void {
  for (const [tensor, shape] of expectedWeights(config)) {
    const info = checkpoint.tensors.get(tensor);
    if (!info) {
      throw new TurboQuantError(
        "invalid_file",
        `${name}: tensor ${tensor} is missing, which its config.json calls for; config and weights are of different models`,
        { tensor },
      );
    }
    if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i])) {
      throw new TurboQuantError(
        "invalid_file",
        `${name}/${info.file}: ${tensor}: expected [${shape}] by its config.json, got [${info.shape}]; config and weights are of different models`,
        { tensor, expected: shape, got: info.shape },
      );
    }
  }
}
