/** @file Small models quantized in every way that is read: random codes with scales of one size, in folders and in memory. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CounterRng } from "../../src/math/rng.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { layoutOf, tensorSpecs } from "../../src/models/layout.ts";
import { byteCharacters } from "./fake-checkpoint.ts";
import { GGML_TYPES, packed } from "./ggml-blocks.ts";
import type { GgufFile, WrittenTensor } from "./gguf-file.ts";
import { configMetadata, storedNames } from "./gguf-model.ts";
import { type Tensors, writeTensors } from "./quantized-file.ts";

const SMALL_CONFIG = {
  model_type: "llama",
  vocab_size: 260,
  hidden_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  intermediate_size: 64,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  eos_token_id: 0,
};

const GROUP = 32;
const rng = new CounterRng(23, 0);
let drawn = 0;
const randomBytes = (length: number): Uint8Array =>
  Uint8Array.from({ length }, () => Math.floor(rng.uniform(drawn++) * 256));
const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);
const halves = (length: number, bits: number): Uint16Array => new Uint16Array(length).fill(bits);
/** 1 / 64 as a half. */
const STEP = 0x2400;
/** −8 / 64. */
const MINIMUM = 0xb000;

/** The parts of a weight by what follows the module's name. count: of the experts whose matrices lie in one tensor */
type Parts = (rows: number, cols: number, count: number) => Tensors;

/** FP8 (E4M3) without NaN, of magnitudes up to 0.4. */
const smallFp8 = (length: number): Uint8Array => randomBytes(length).map((byte) => byte & 0xaf);

const KINDS: Readonly<Record<string, readonly [settings: object, parts: Parts]>> = {
  gptq: [
    { quant_method: "gptq", bits: 4, group_size: GROUP, desc_act: false },
    (rows, cols) => ({
      qweight: { dtype: "I32", shape: [cols / 8, rows], data: randomBytes((rows * cols) / 2) },
      qzeros: { dtype: "I32", shape: [cols / GROUP, rows / 8], data: filled((cols / GROUP) * (rows / 2), 0x77) },
      scales: { dtype: "F16", shape: [cols / GROUP, rows], data: halves((rows * cols) / GROUP, STEP) },
      g_idx: { dtype: "I32", shape: [cols], data: Int32Array.from({ length: cols }, (_, c) => Math.floor(c / GROUP)) },
    }),
  ],
  awq: [
    { quant_method: "awq", bits: 4, group_size: GROUP, version: "gemm", zero_point: true },
    (rows, cols) => ({
      qweight: { dtype: "I32", shape: [cols, rows / 8], data: randomBytes((rows * cols) / 2) },
      qzeros: { dtype: "I32", shape: [cols / GROUP, rows / 8], data: filled((cols / GROUP) * (rows / 2), 0x88) },
      scales: { dtype: "F16", shape: [cols / GROUP, rows], data: halves((rows * cols) / GROUP, STEP) },
    }),
  ],
  "compressed-tensors": [
    {
      quant_method: "compressed-tensors",
      format: "pack-quantized",
      config_groups: { group_0: { targets: ["Linear"], weights: { num_bits: 4, type: "int", group_size: GROUP } } },
    },
    (rows, cols) => ({
      weight_packed: { dtype: "I32", shape: [rows, cols / 8], data: randomBytes((rows * cols) / 2) },
      weight_scale: { dtype: "F16", shape: [rows, cols / GROUP], data: halves((rows * cols) / GROUP, STEP) },
      weight_shape: { dtype: "I64", shape: [2], data: BigInt64Array.of(BigInt(rows), BigInt(cols)) },
    }),
  ],
  fp8: [
    { quant_method: "fp8", weight_block_size: [GROUP, GROUP] },
    (rows, cols) => {
      const shape = [Math.ceil(rows / GROUP), Math.ceil(cols / GROUP)];
      return {
        weight: { dtype: "F8_E4M3", shape: [rows, cols], data: smallFp8(rows * cols) },
        weight_scale_inv: { dtype: "F32", shape, data: new Float32Array(shape[0]! * shape[1]!).fill(0.5) },
      };
    },
  ],
  modelopt: [
    { quant_method: "modelopt", quant_algo: "NVFP4" },
    (rows, cols) => ({
      weight: { dtype: "U8", shape: [rows, cols / 2], data: randomBytes((rows * cols) / 2) },
      // 1 in E4M3.
      weight_scale: { dtype: "F8_E4M3", shape: [rows, cols / 16], data: filled((rows * cols) / 16, 0x38) },
      weight_scale_2: { dtype: "F32", shape: [], data: Float32Array.of(1 / 64) },
    }),
  ],
  bitsandbytes: [
    { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4" },
    (rows, cols) => {
      const state = new TextEncoder().encode(
        JSON.stringify({ quant_type: "nf4", blocksize: 64, dtype: "float16", shape: [rows, cols] }),
      );
      const map = Float32Array.from({ length: 16 }, (_, i) => (i - 7.5) / 7.5);
      return {
        weight: { dtype: "U8", shape: [(rows * cols) / 2, 1], data: randomBytes((rows * cols) / 2) },
        "weight.absmax": {
          dtype: "F32",
          shape: [(rows * cols) / 64],
          data: new Float32Array((rows * cols) / 64).fill(0.1),
        },
        "weight.quant_map": { dtype: "F32", shape: [16], data: map },
        "weight.quant_state.bitsandbytes__nf4": { dtype: "U8", shape: [state.length], data: state },
      };
    },
  ],
  mxfp4: [
    { quant_method: "mxfp4" },
    (rows, cols, count) => ({
      blocks: { dtype: "U8", shape: [count, rows, cols / 32, 16], data: randomBytes((count * rows * cols) / 2) },
      // 2^-4.
      scales: { dtype: "U8", shape: [count, rows, cols / 32], data: filled((count * rows * cols) / 32, 123) },
    }),
  ],
  mlx: [
    { group_size: GROUP, bits: 4 },
    (rows, cols) => ({
      weight: { dtype: "U32", shape: [rows, cols / 8], data: randomBytes((rows * cols) / 2) },
      scales: { dtype: "F16", shape: [rows, cols / GROUP], data: halves((rows * cols) / GROUP, STEP) },
      biases: { dtype: "F16", shape: [rows, cols / GROUP], data: halves((rows * cols) / GROUP, MINIMUM) },
    }),
  ],
};

export const QUANTIZED_KINDS: readonly string[] = Object.keys(KINDS);

/** Experts alone are stored as MXFP4 blocks. */
const EXPERTS_CONFIG = {
  ...SMALL_CONFIG,
  ...{ model_type: "gpt_oss", head_dim: 32, num_local_experts: 2, num_experts_per_tok: 1, sliding_window: 32 },
};

/** config.json and the weights: matrices of the layers, or of experts, in this kind, the rest in F32. */
export function quantizedModel(kind: string): Record<string, Uint8Array | string> {
  const [settings, parts] = KINDS[kind]!;
  const ofExperts = kind === "mxfp4";
  const config = ofExperts ? EXPERTS_CONFIG : SMALL_CONFIG;
  const tensors: Tensors = {};
  for (const { name, shape } of tensorSpecs(layoutOf(parseModelConfig(config, "config.json"))).values()) {
    const module = name.replace(/\.weight$/, "");
    if (ofExperts ? /experts\.\w+_proj$/.test(name) : module !== name && module.endsWith("_proj")) {
      // Floats of experts have their inputs first.
      const [rows, cols, count] = ofExperts ? [shape[2]!, shape[1]!, shape[0]!] : [shape[0]!, shape[1]!, 1];
      const separator = ofExperts ? "_" : ".";
      for (const [part, tensor] of Object.entries(parts(rows, cols, count)))
        tensors[`${module}${separator}${part}`] = tensor;
      continue;
    }
    const length = shape.reduce((product, size) => product * size, 1);
    const values = Float32Array.from({ length }, () => (shape.length === 1 ? 1 : rng.uniform(drawn++) - 0.5));
    tensors[name] = { dtype: "F32", shape: [...shape], data: values };
  }
  const field = kind === "mlx" ? "quantization" : "quantization_config";
  return {
    "config.json": JSON.stringify({ ...config, [field]: settings }),
    "model.safetensors": writeTensors(tensors),
  };
}

/** Types of blocks of 32, one after the other over the matrices of the layers. */
const BLOCK_TYPES = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "mxfp4"];

/** The model as a GGUF file with matrices of many types, and a name that says nothing. */
export function quantizedGguf(): GgufFile {
  const tensors: WrittenTensor[] = [];
  const names = storedNames("llama", SMALL_CONFIG.num_hidden_layers);
  for (const { name, shape } of tensorSpecs(layoutOf(parseModelConfig(SMALL_CONFIG, "config.json"))).values()) {
    const length = shape.reduce((product, size) => product * size, 1);
    const values = Float32Array.from({ length }, () => (shape.length === 1 ? 1 : (rng.uniform(drawn++) - 0.5) / 2));
    const type = shape.length === 1 ? "f32" : BLOCK_TYPES[tensors.length % BLOCK_TYPES.length]!;
    tensors.push({
      name: names.get(name)!,
      type: GGML_TYPES[type]!.id,
      shape,
      data: packed(type, values, shape.at(-1)!),
    });
  }
  const words = byteWords();
  return {
    metadata: [
      ...configMetadata(SMALL_CONFIG as never, "llama", "model"),
      ["tokenizer.ggml.model", { string: "gpt2" }],
      ["tokenizer.ggml.tokens", { strings: words }],
      ["tokenizer.ggml.token_type", { i32s: words.map(() => 1) }],
      ["tokenizer.ggml.merges", { strings: [] }],
      ["tokenizer.ggml.eos_token_id", { u32: 0 }],
    ],
    tensors,
  };
}

/** The same with a tokenizer of bytes, as a folder. */
export function writeQuantizedModel(folder: string, kind: string): void {
  mkdirSync(folder, { recursive: true });
  const vocab = Object.fromEntries(byteWords().map((word, id) => [word, id]));
  const tokenizer = {
    version: "1.0",
    added_tokens: [],
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges: [] },
  };
  const files = { ...quantizedModel(kind), "tokenizer.json": JSON.stringify(tokenizer) };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
}

/** Tokens of one byte each, after four that no text has. */
const byteWords = (): string[] => ["<0>", "<1>", "<2>", "<3>", ...byteCharacters()];
