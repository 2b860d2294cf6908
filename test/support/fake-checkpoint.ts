/**
 * @file A checkpoint of a few kilobytes, for tests that need a model and none of its numbers: two layers, a vocabulary of
 * bytes and words that no text encodes to, weights that are all zero.
 */
import { MemorySource } from "../../src/formats/memory-source.ts";
import { writeSafetensors } from "../../src/formats/write-safetensors.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { layoutOf, tensorSpecs } from "../../src/models/layout.ts";

export const FAKE_VOCAB = 4096;
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
function byteCharacters(): string[] {
  const isPlain = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPlain(byte) ? byte : 256 + others++));
}

function tokenizerJson(): string {
  const words = [...SPECIAL, ...byteCharacters()];
  while (words.length < FAKE_VOCAB) words.push(`Ġw${words.length}`);
  return JSON.stringify({
    version: "1.0",
    added_tokens: SPECIAL.map((content, id) => ({ id, content, special: true, normalized: false })),
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab: Object.fromEntries(words.map((word, id) => [word, id])), merges: [] },
  });
}

/** Its files by name, to be read from memory or written to a folder. */
function fakeCheckpointFiles(): Record<string, Uint8Array | string> {
  const tensors = tensorSpecs(layoutOf(parseModelConfig(CONFIG, "config.json")));
  return {
    "config.json": JSON.stringify(CONFIG),
    "tokenizer.json": tokenizerJson(),
    "chat_template.jinja": CHAT_TEMPLATE,
    "model.safetensors": writeSafetensors(
      Object.fromEntries(
        [...tensors].map(([name, { shape }]) => {
          const length = shape.reduce((product, size) => product * size, 1);
          return [name, { dtype: "f32", shape, data: new Uint8Array(4 * length) }];
        }),
      ),
    ),
  };
}

export const fakeCheckpoint = (): MemorySource => new MemorySource(fakeCheckpointFiles(), "fake");
