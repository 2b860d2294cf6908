/** @file A checkpoint of the kinds that GGUF files hold, written as one in memory: what a converter does, undone by the reader. */
import type { Checkpoint } from "../../src/formats/checkpoint.ts";
import { readText } from "../../src/formats/file-source.ts";
import { loadGenerationConfig } from "../../src/formats/generation-config.ts";
import { canonicalName, LAYER_TENSORS, MODEL_TENSORS, partOf } from "../../src/formats/gguf/architecture.ts";
import { ARCHITECTURES } from "../../src/formats/gguf/architectures.ts";
import { readJson } from "../../src/formats/json-file.ts";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { DirectorySource } from "../../src/node/directory-source.ts";
import { type WeightType, weightFormat } from "../../src/weights/registry.ts";
import type { GgufFile, Written, WrittenTensor } from "./gguf-file.ts";

const TYPE_NUMBERS: Readonly<Record<string, number>> = { f32: 0, f16: 1, bf16: 30 };

type Json = Readonly<Record<string, never>>;

/** The names of all tensors of a model in the file, by those of Transformers. */
export function storedNames(architecture: string, numLayers: number): Map<string, string> {
  const own = ARCHITECTURES[architecture]!;
  const parts = Object.keys({ ...LAYER_TENSORS, ...own.layer });
  const stored = Array.from({ length: numLayers }, (_, layer) => parts.map((part) => `blk.${layer}.${part}`)).flat();
  const whole = Object.keys(own.whole ?? {});
  const names = [
    ...[...Object.keys({ ...MODEL_TENSORS, ...own.model }), ...stored].flatMap((name) => [
      `${name}.weight`,
      `${name}.bias`,
    ]),
    ...Array.from({ length: numLayers }, (_, layer) => whole.map((name) => `blk.${layer}.${name}`)).flat(),
  ];
  return new Map(names.map((name) => [canonicalName(name, own)!, name]));
}

/** Halves of each head to neighbouring pairs, as converters do it for llama.cpp. */
function interleaved(bytes: Uint8Array, rows: number, headDim: number): Uint8Array {
  const rowBytes = bytes.length / rows;
  const out = new Uint8Array(bytes.length);
  for (let row = 0; row < rows; row++) {
    const [head, half, pair] = [Math.floor(row / headDim), row % 2, Math.floor((row % headDim) / 2)];
    const from = head * headDim + half * (headDim / 2) + pair;
    out.set(bytes.subarray(from * rowBytes, (from + 1) * rowBytes), row * rowBytes);
  }
  return out;
}

export async function tensorsOf(
  checkpoint: Pick<Checkpoint, "config" | "tensors" | "read">,
  architecture: string,
): Promise<WrittenTensor[]> {
  const config = (await checkpoint.config()) as Json;
  const headDim = config["head_dim"] ?? config["hidden_size"]! / config["num_attention_heads"]!;
  const tensors: WrittenTensor[] = [];
  const names = storedNames(architecture, config["num_hidden_layers"]!);
  for (const { name, dtype, shape } of (await checkpoint.tensors()).values()) {
    const data = await checkpoint.read(name);
    // Values that files have in another form are those of state spaces: exp of a logarithm, of most below zero.
    const change = ARCHITECTURES[architecture]!.values?.[partOf(names.get(name)!)];
    if (change) {
      const sign = Number.isNaN(change(-1)) ? 1 : -1;
      const values = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0);
      weightFormat(dtype as WeightType).dequantize(data, 1, values.length, values);
      const stored = values.map((value) => sign * Math.exp(value));
      tensors.push({ name: names.get(name)!, type: 0, shape, data: new Uint8Array(stored.buffer) });
      continue;
    }
    const isInterleaved = ARCHITECTURES[architecture]!.interleavesHeads && /self_attn\.[qk]_proj/.test(name);
    tensors.push({
      name: names.get(name)!,
      type: TYPE_NUMBERS[dtype]!,
      shape,
      data: isInterleaved ? interleaved(data, shape[0]!, headDim) : data,
    });
  }
  return tensors;
}

/** Keys of single architectures, by the fields of config.json that they come from. */
const MORE_KEYS: Readonly<Record<string, string>> = {
  embedding_multiplier: "embedding_scale",
  residual_multiplier: "residual_scale",
  attention_multiplier: "attention.scale",
  logits_scaling: "logit_scale",
  logit_scale: "logit_scale",
  layer_norm_eps: "attention.layer_norm_epsilon",
  norm_epsilon: "attention.layer_norm_epsilon",
};

/** The metadata that a config.json becomes. */
export function configMetadata(config: Json, architecture: string, name = "Written Here"): [string, Written][] {
  const own = (key: string, value: Written): [string, Written] => [`${architecture}.${key}`, value];
  const headDim = config["head_dim"] ?? config["hidden_size"]! / config["num_attention_heads"]!;
  return [
    ["general.architecture", { string: architecture }],
    ["general.name", { string: name }],
    own("block_count", { u32: config["num_hidden_layers"]! }),
    own("embedding_length", { u32: config["hidden_size"]! }),
    own("feed_forward_length", { u32: config["intermediate_size"]! }),
    own("attention.head_count", { u32: config["num_attention_heads"]! }),
    own("attention.head_count_kv", { u32: config["num_key_value_heads"]! }),
    ...(config["head_dim"] ? [own("attention.key_length", { u32: config["head_dim"] })] : []),
    own("attention.layer_norm_rms_epsilon", { f32: config["rms_norm_eps"] ?? 1e-6 }),
    own("rope.freq_base", { f32: config["rope_theta"] ?? 10_000 }),
    own("context_length", { u32: config["max_position_embeddings"]! }),
    ...Object.entries(MORE_KEYS).flatMap(([field, key]) =>
      config[field] === undefined ? [] : [own(key, { f32: config[field] })],
    ),
    ...(config["sliding_window"] ? [own("attention.sliding_window", { u32: config["sliding_window"] })] : []),
    ...(config["partial_rotary_factor"]
      ? [own("rope.dimension_count", { u32: Math.round(config["partial_rotary_factor"] * headDim) })]
      : []),
  ];
}

/** The metadata that a byte-level tokenizer.json becomes. */
export function tokenizerMetadata(
  tokenizer: Json,
  options: { pre: string; eos: number; template?: string },
): [string, Written][] {
  const { vocab, merges } = tokenizer["model"] as { vocab: Record<string, number>; merges: string[][] };
  const added = tokenizer["added_tokens"] as { id: number; content: string; special: boolean }[];
  const tokens: string[] = [];
  const types: number[] = [];
  for (const [token, id] of Object.entries(vocab)) [tokens[id], types[id]] = [token, 1];
  for (const { id, content, special } of added) [tokens[id], types[id]] = [content, special ? 3 : 4];
  return [
    ["tokenizer.ggml.model", { string: "gpt2" }],
    ["tokenizer.ggml.pre", { string: options.pre }],
    ["tokenizer.ggml.tokens", { strings: tokens }],
    ["tokenizer.ggml.token_type", { i32s: types }],
    ["tokenizer.ggml.merges", { strings: merges.map((pair) => pair.join(" ")) }],
    ["tokenizer.ggml.eos_token_id", { u32: options.eos }],
    ...(options.template === undefined
      ? []
      : [["tokenizer.chat_template", { string: options.template }] as [string, Written]]),
  ];
}

/** A folder with one safetensors file and a byte-level tokenizer.json, as the file it would be converted to. */
export async function folderAsGguf(folder: string, { pre = "qwen2", name = "Written Here" } = {}): Promise<GgufFile> {
  const source = new DirectorySource(folder);
  const checkpoint = await openCheckpoint(source);
  const config = (await checkpoint.config()) as Json & { model_type: string };
  const { eosTokenIds } = await loadGenerationConfig(source, parseModelConfig(config, folder));
  const file = {
    metadata: [
      ...configMetadata(config, config.model_type, name),
      ...tokenizerMetadata((await readJson(source, "tokenizer.json")) as Json, {
        pre,
        eos: eosTokenIds[0]!,
        template: await readText(source, "chat_template.jinja"),
      }),
    ],
    tensors: await tensorsOf(checkpoint, config.model_type),
  };
  await source.close();
  return file;
}

/** A vocabulary of bytes alone, for models whose text does not matter. */
export const byteTokenizer: readonly [string, Written][] = [
  ["tokenizer.ggml.model", { string: "gpt2" }],
  ["tokenizer.ggml.tokens", { strings: ["a", "b", "c", "<end>"] }],
  ["tokenizer.ggml.token_type", { i32s: [1, 1, 1, 3] }],
  ["tokenizer.ggml.merges", { strings: [] }],
  ["tokenizer.ggml.eos_token_id", { u32: 3 }],
];

/** `file` in parts: metadata in the first, tensors in turn in those after it. */
export function splitFile(file: GgufFile, base: string, count: number): Map<string, GgufFile> {
  return new Map(
    Array.from({ length: count }, (_, no) => {
      const number = (n: number): string => String(n).padStart(5, "0");
      const split: [string, Written][] = [
        ["split.no", { u32: no }],
        ["split.count", { u32: count }],
      ];
      const tensors = (file.tensors ?? []).filter((_, i) => no > 0 && i % (count - 1) === no - 1);
      const metadata = [...(no === 0 ? file.metadata : []), ...split];
      return [`${base}-${number(no + 1)}-of-${number(count)}.gguf`, { ...file, metadata, tensors }];
    }),
  );
}
