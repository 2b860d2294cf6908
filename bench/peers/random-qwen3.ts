/** @file A Qwen3 of a public shape with random quantized weights as GGUF: speed needs no download. */
import { CounterRng } from "../../src/math/rng.ts";
import type { ModelConfig } from "../../src/models/config.ts";
import { GGML_TYPES, packed } from "../../test/support/ggml-blocks.ts";
import { type StreamedTensor, streamGguf, type Written } from "../../test/support/gguf-file.ts";

/** Standard deviation of the weights, as a model is initialized. */
const SIGMA = 0.02;
/** Values of the pool of a type. Tensors repeat it from different starts: speed does not depend on the values, and drawing 600 million normals would take minutes. */
const POOL_VALUES = 1 << 18;

/** The type of each matrix: one for all, or llama.cpp's usual mix. */
export const FILE_TYPES = ["q8_0", "q4_0", "q4_1", "q4_k_m"] as const;
export type FileType = (typeof FILE_TYPES)[number];

/** Q4_K_M keeps the embedding, and v and down in half of the layers, in Q6_K. */
function typeOf(name: string, fileType: FileType, layers: number): string {
  if (fileType !== "q4_k_m") return fileType;
  const [, layer, part] = /^blk\.(\d+)\.(\w+)/.exec(name) ?? [];
  if (layer === undefined) return "q6_k";
  if (part !== "attn_v" && part !== "ffn_down") return "q4_k";
  const eighth = Math.floor(layers / 8);
  const i = Number(layer);
  return i < eighth || i >= 7 * eighth || (i - eighth) % 3 === 2 ? "q6_k" : "q4_k";
}

/** Blocks of normal values. */
function pool(type: string, seed: number): Uint8Array {
  const rng = new CounterRng(seed, 0);
  const values = Float32Array.from({ length: POOL_VALUES }, (_, i) => rng.gaussian(i) * SIGMA);
  return packed(type, values, POOL_VALUES);
}

/** start: of a block in the pool, in bytes */
function* repeated(pool: Uint8Array, numBytes: number, start: number): Generator<Uint8Array> {
  let at = start % pool.length;
  for (let rest = numBytes; rest > 0; at = 0) {
    const piece = pool.subarray(at, Math.min(pool.length, at + rest));
    yield piece;
    rest -= piece.length;
  }
}

function tensors(config: ModelConfig, fileType: FileType, seed: number): StreamedTensor[] {
  const { hiddenSize: hidden, headDim, intermediateSize: ffn, vocabSize } = config;
  const [qWidth, kvWidth] = [config.numHeads * headDim, config.numKvHeads * headDim];
  const pools = new Map<string, Uint8Array>();
  const found: StreamedTensor[] = [];
  const matrix = (name: string, cols: number, rows: number): void => {
    const type = typeOf(name, fileType, config.numLayers);
    const blocks = pools.get(type) ?? pool(type, seed);
    pools.set(type, blocks);
    const { id, values, bytes } = GGML_TYPES[type]!;
    if (cols % values !== 0) throw new Error(`random-qwen3: ${name}: ${type} holds no rows of ${cols} values`);
    const numBytes = ((rows * cols) / values) * bytes;
    // A prime step: no two tensors begin alike.
    const start = found.length * 7919 * bytes;
    const pieces = () => repeated(blocks, numBytes, start);
    found.push({ name: `${name}.weight`, type: id, shape: [rows, cols], numBytes, pieces });
  };
  const ones = (name: string, length: number): void => {
    const bytes = new Uint8Array(new Float32Array(length).fill(1).buffer);
    const pieces = () => [bytes];
    found.push({
      name: `${name}.weight`,
      type: GGML_TYPES["f32"]!.id,
      shape: [length],
      numBytes: bytes.length,
      pieces,
    });
  };
  matrix("token_embd", hidden, vocabSize);
  for (let layer = 0; layer < config.numLayers; layer++) {
    const of = (name: string): string => `blk.${layer}.${name}`;
    ones(of("attn_norm"), hidden);
    matrix(of("attn_q"), hidden, qWidth);
    matrix(of("attn_k"), hidden, kvWidth);
    matrix(of("attn_v"), hidden, kvWidth);
    ones(of("attn_q_norm"), headDim);
    ones(of("attn_k_norm"), headDim);
    matrix(of("attn_output"), qWidth, hidden);
    ones(of("ffn_norm"), hidden);
    matrix(of("ffn_gate"), hidden, ffn);
    matrix(of("ffn_up"), hidden, ffn);
    matrix(of("ffn_down"), ffn, hidden);
  }
  ones("output_norm", hidden);
  if (!config.tieWordEmbeddings) matrix("output", hidden, vocabSize);
  return found;
}

/** The printable stand-ins that byte-level BPE has for the 256 bytes (GPT-2). */
function byteSymbols(): string[] {
  const isPrintable = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(isPrintable(b) ? b : next++));
}

/** A vocabulary of the right size that llama.cpp accepts: bytes, pairs of letters with their merges, names, two marks. */
function vocabulary(size: number): Record<string, Written> {
  const NORMAL = 1;
  const CONTROL = 3;
  const letters = [..."abcdefghijklmnopqrstuvwxyz"];
  const pairs = letters.flatMap((a) => letters.map((b) => [a, b] as const));
  const tokens = [...byteSymbols(), ...pairs.map((pair) => pair.join(""))];
  while (tokens.length < size - 2) tokens.push(`t${tokens.length}`);
  tokens.push("<|endoftext|>", "<|im_end|>");
  return {
    "tokenizer.ggml.model": { string: "gpt2" },
    "tokenizer.ggml.pre": { string: "qwen2" },
    "tokenizer.ggml.tokens": { strings: tokens },
    "tokenizer.ggml.token_type": { i32s: tokens.map((_, i) => (i < size - 2 ? NORMAL : CONTROL)) },
    "tokenizer.ggml.merges": { strings: pairs.map((pair) => pair.join(" ")) },
    "tokenizer.ggml.bos_token_id": { u32: size - 2 },
    "tokenizer.ggml.eos_token_id": { u32: size - 1 },
    "tokenizer.ggml.padding_token_id": { u32: size - 2 },
    "tokenizer.ggml.add_bos_token": { bool: false },
  };
}

/** config: a plain Qwen3 (no rope scaling) */
export async function writeRandomQwen3(
  path: string,
  config: ModelConfig,
  fileType: FileType = "q8_0",
  seed = 0,
): Promise<void> {
  if (config.modelType !== "qwen3" || config.rope.type !== "default") {
    throw new Error(`random-qwen3: expected a qwen3 shape without rope scaling, got ${config.modelType}`);
  }
  const of = (name: string): string => `qwen3.${name}`;
  const metadata: Record<string, Written> = {
    "general.architecture": { string: "qwen3" },
    "general.name": { string: `random qwen3, ${config.numLayers} layers` },
    "general.quantization_version": { u32: 2 },
    [of("block_count")]: { u32: config.numLayers },
    [of("context_length")]: { u32: config.maxPositionEmbeddings },
    [of("embedding_length")]: { u32: config.hiddenSize },
    [of("feed_forward_length")]: { u32: config.intermediateSize },
    [of("attention.head_count")]: { u32: config.numHeads },
    [of("attention.head_count_kv")]: { u32: config.numKvHeads },
    [of("attention.key_length")]: { u32: config.headDim },
    [of("attention.value_length")]: { u32: config.headDim },
    [of("attention.layer_norm_rms_epsilon")]: { f32: config.normEps },
    [of("rope.freq_base")]: { f32: config.rope.theta },
    ...vocabulary(config.vocabSize),
  };
  await streamGguf(path, { metadata: Object.entries(metadata), tensors: tensors(config, fileType, seed) });
}
