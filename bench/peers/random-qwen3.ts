/** @file A Qwen3 of a public shape with random q8_0 weights as GGUF: speed needs no download. */
import { toFloat16Bits } from "../../src/math/float16.ts";
import { CounterRng } from "../../src/math/rng.ts";
import type { ModelConfig } from "../../src/models/config.ts";
import { type GgufTensor, type GgufValue, tensorBytes, writeGguf } from "./gguf-writer.ts";

/** Standard deviation of the weights, as a model is initialized. */
const SIGMA = 0.02;
const BLOCK = 32;
const BLOCK_BYTES = 34;
/**
 * Different blocks made; tensors repeat them from different starts. Speed does not depend on the values, and drawing 600
 * million normals would take minutes.
 */
const POOL_BLOCKS = 1 << 15;

/** Blocks of 32 as ggml quantizes them: f16 scale = max|x| / 127, then 32 int8. */
function randomBlocks(seed: number): Uint8Array {
  const rng = new CounterRng(seed, 0);
  const bytes = new Uint8Array(POOL_BLOCKS * BLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  const values = new Float32Array(BLOCK);
  for (let block = 0; block < POOL_BLOCKS; block++) {
    let max = 0;
    for (let i = 0; i < BLOCK; i++) {
      values[i] = rng.gaussian(block * BLOCK + i) * SIGMA;
      max = Math.max(max, Math.abs(values[i]!));
    }
    const at = block * BLOCK_BYTES;
    view.setUint16(at, toFloat16Bits(max / 127), true);
    for (let i = 0; i < BLOCK; i++) view.setInt8(at + 2 + i, Math.round((values[i]! * 127) / max));
  }
  return bytes;
}

function* repeated(pool: Uint8Array, numBytes: number, startBlock: number): Generator<Uint8Array> {
  let at = (startBlock % POOL_BLOCKS) * BLOCK_BYTES;
  for (let rest = numBytes; rest > 0; at = 0) {
    const piece = pool.subarray(at, Math.min(pool.length, at + rest));
    yield piece;
    rest -= piece.length;
  }
}

function tensors(config: ModelConfig, seed: number): GgufTensor[] {
  const { hiddenSize: hidden, headDim, intermediateSize: ffn, vocabSize } = config;
  const [qWidth, kvWidth] = [config.numHeads * headDim, config.numKvHeads * headDim];
  const pool = randomBlocks(seed);
  const found: GgufTensor[] = [];
  const matrix = (name: string, cols: number, rows: number): void => {
    const shape = { type: "q8_0", dimensions: [cols, rows] } as const;
    // A prime step: no two tensors begin alike.
    const start = found.length * 7919;
    found.push({ name: `${name}.weight`, ...shape, data: () => repeated(pool, tensorBytes(shape), start) });
  };
  const ones = (name: string, length: number): void => {
    const bytes = new Uint8Array(new Float32Array(length).fill(1).buffer);
    found.push({ name: `${name}.weight`, type: "f32", dimensions: [length], data: () => [bytes] });
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
function vocabulary(size: number): Record<string, GgufValue> {
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
    "tokenizer.ggml.token_type": { int32s: tokens.map((_, i) => (i < size - 2 ? NORMAL : CONTROL)) },
    "tokenizer.ggml.merges": { strings: pairs.map((pair) => pair.join(" ")) },
    "tokenizer.ggml.bos_token_id": { uint32: size - 2 },
    "tokenizer.ggml.eos_token_id": { uint32: size - 1 },
    "tokenizer.ggml.padding_token_id": { uint32: size - 2 },
    "tokenizer.ggml.add_bos_token": { bool: false },
  };
}

/** config: a plain Qwen3 (no rope scaling). About 1.06 bytes a weight. */
export async function writeRandomQwen3(path: string, config: ModelConfig, seed = 0): Promise<void> {
  if (config.modelType !== "qwen3" || config.rope.type !== "default") {
    throw new Error(`random-qwen3: expected a qwen3 shape without rope scaling, got ${config.modelType}`);
  }
  const of = (name: string): string => `qwen3.${name}`;
  await writeGguf(
    path,
    {
      "general.architecture": { string: "qwen3" },
      "general.name": { string: `random qwen3, ${config.numLayers} layers` },
      // LLAMA_FTYPE_MOSTLY_Q8_0
      "general.file_type": { uint32: 7 },
      "general.quantization_version": { uint32: 2 },
      [of("block_count")]: { uint32: config.numLayers },
      [of("context_length")]: { uint32: config.maxPositionEmbeddings },
      [of("embedding_length")]: { uint32: config.hiddenSize },
      [of("feed_forward_length")]: { uint32: config.intermediateSize },
      [of("attention.head_count")]: { uint32: config.numHeads },
      [of("attention.head_count_kv")]: { uint32: config.numKvHeads },
      [of("attention.key_length")]: { uint32: config.headDim },
      [of("attention.value_length")]: { uint32: config.headDim },
      [of("attention.layer_norm_rms_epsilon")]: { float32: config.rmsNormEps },
      [of("rope.freq_base")]: { float32: config.rope.theta },
      ...vocabulary(config.vocabSize),
    },
    tensors(config, seed),
  );
}
