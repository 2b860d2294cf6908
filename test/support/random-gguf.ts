/** @file Small models with random weights as GGUF files in memory. */
import type { Checkpoint } from "../../src/formats/checkpoint.ts";
import { MemorySource } from "../../src/formats/memory-source.ts";
import { RandomCheckpoint } from "../../src/models/random-weights.ts";
import { type GgufFile, writeGguf } from "./gguf-file.ts";
import { byteTokenizer, configMetadata, tensorsOf } from "./gguf-model.ts";

/** A llama of two layers, without its type. */
export const tiny = {
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 64,
  vocab_size: 40,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
};

/** A model with random weights, and the same as a GGUF file. */
export async function randomModel(
  architecture: string,
  more: object = {},
): Promise<{ checkpoint: Checkpoint; file: GgufFile }> {
  const config = { model_type: architecture, ...tiny, ...more };
  const checkpoint = new RandomCheckpoint(config, "random");
  const metadata = [...configMetadata(config as never, architecture), ...byteTokenizer];
  return { checkpoint, file: { metadata, tensors: await tensorsOf(checkpoint, architecture) } };
}

export const sourceOf = (file: GgufFile, name = "model.gguf") => new MemorySource({ [name]: writeGguf(file) }, "dir");
