/**
 * @file A checkpoint of a few kilobytes, for tests that need a model and none of its numbers: few narrow layers, a vocabulary
 * of bytes and words that no text encodes to. Its weights are all zero, for the fake backend, which does not read them, or
 * random, for real backends where a command chooses its own.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MemorySource } from "../../src/formats/memory-source.ts";
import { writeSafetensors } from "../../src/formats/write-safetensors.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { layoutOf, tensorSpecs } from "../../src/models/layout.ts";

export const FAKE_VOCAB = 1024;
/** Ends an answer. */
export const FAKE_EOS = 0;
/** Tokens before it are special ones and single bytes. */
export const FAKE_FIRST_WORD = 3 + 256;
const SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

const CONFIG = {
  model_type: "qwen3",
  vocab_size: FAKE_VOCAB,
  hidden_size: 8,
  num_hidden_layers: 2,
  num_attention_heads: 1,
  num_key_value_heads: 1,
  // Two bits a coordinate are the four bytes in which the fake backend keeps a token.
  head_dim: 16,
  intermediate_size: 8,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: true,
  eos_token_id: FAKE_EOS,
};

const CHAT_TEMPLATE =
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** The character by which byte-level vocabularies write each byte (GPT-2). */
export function byteCharacters(): string[] {
  const isPlain = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPlain(byte) ? byte : 256 + others++));
}

/** vocabSize: words that no text encodes to fill it up; at least FAKE_FIRST_WORD */
export function byteTokenizer(vocabSize: number): string {
  const words = [...SPECIAL, ...byteCharacters()];
  while (words.length < vocabSize) words.push(`Ġw${words.length}`);
  return JSON.stringify({
    version: "1.0",
    added_tokens: SPECIAL.map((content, id) => ({ id, content, special: true, normalized: false })),
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab: Object.fromEntries(words.map((word, id) => [word, id])), merges: [] },
  });
}

/** Heads as real models have them, so that every cache format fits. */
const RANDOM_CONFIG = {
  ...CONFIG,
  hidden_size: 32,
  num_hidden_layers: 4,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  head_dim: 64,
  intermediate_size: 32,
};

/** Its files by name, to be read from memory or written to a folder. isRandom: for a real backend · fields: of the config, others */
function fakeCheckpointFiles(isRandom = false, fields: object = {}): Record<string, Uint8Array | string> {
  const config: typeof CONFIG = { ...(isRandom ? RANDOM_CONFIG : CONFIG), ...fields };
  const tensors = tensorSpecs(layoutOf(parseModelConfig(config, "config.json")));
  const rng = new CounterRng(1, 0);
  let drawn = 0;
  const weightOf = (name: string): number => {
    if (!isRandom) return 0;
    if (name.endsWith("norm.weight")) return 1;
    // The head is the embedding: large enough that some tokens are likelier than others.
    return (name.includes("embed") ? 2 : 0.4) * (rng.uniform(drawn++) - 0.5);
  };
  return {
    "config.json": JSON.stringify(config),
    "tokenizer.json": byteTokenizer(config.vocab_size),
    "chat_template.jinja": CHAT_TEMPLATE,
    "model.safetensors": writeSafetensors(
      Object.fromEntries(
        [...tensors].map(([name, { shape }]) => {
          const length = shape.reduce((product, size) => product * size, 1);
          const values = Float32Array.from({ length }, () => weightOf(name));
          return [name, { dtype: "f32", shape, data: new Uint8Array(values.buffer) }];
        }),
      ),
    ),
  };
}

/** Writes its files to a new folder. changes: other contents by name; null leaves a file out */
export function writeFakeCheckpoint(folder: string, changes: Record<string, string | null> = {}): void {
  writeFiles(folder, { ...fakeCheckpointFiles(), ...changes });
}

/**
 * The same with random weights, for commands that run on a real backend: it takes no time and answers nonsense.
 *
 * fields: of the config, in place of its own
 */
export function writeRandomCheckpoint(folder: string, fields: object = {}): void {
  writeFiles(folder, fakeCheckpointFiles(true, fields));
}

function writeFiles(folder: string, files: Record<string, Uint8Array | string | null>): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) if (content !== null) writeFileSync(join(folder, name), content);
}

export const fakeCheckpoint = (fields: object = {}): MemorySource =>
  new MemorySource(fakeCheckpointFiles(false, fields), "fake");
