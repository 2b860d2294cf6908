/**
 * @file GGUF files of every tensor type and of each architecture that we run, made of the embedded model, so that the logits
 * mean something. Rows are padded with zeros to whole super-blocks, which changes no result.
 */
import { join } from "node:path";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { DirectorySource } from "../../src/node/directory-source.ts";
import { type WeightType, weightFormat } from "../../src/weights/registry.ts";
import { GGML_TYPES, packed } from "../../test/support/ggml-blocks.ts";
import { type GgufFile, type Written, type WrittenTensor, writeGguf } from "../../test/support/gguf-file.ts";
import { configMetadata, tensorsOf, tokenizerMetadata } from "../../test/support/gguf-model.ts";

/** What a super-block's rows are multiples of. */
const SUPER_BLOCK = 256;
/** Standard deviation of biases: as large as queries and keys themselves would be noise, so somewhat less. */
const BIAS = 0.2;

interface Tensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}
type Tensors = ReadonlyMap<string, Tensor>;

interface Model {
  /** As config.json has it. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: Tensors;
  readonly tokenizer: object;
}

export interface WrittenModel {
  readonly name: string;
  /** The bytes of the file. */
  make(): Promise<Uint8Array>;
}

interface Variant {
  readonly architecture: "qwen3" | "qwen2" | "llama";
  /** Name of the type of a matrix. */
  type(stored: string): string;
  readonly metadata?: readonly [string, Written][];
  /** A head of its own, which is not the embedding. */
  readonly hasHead?: boolean;
  readonly hasBiases?: boolean;
  /** One divisor of the frequencies a pair of coordinates. */
  readonly hasRopeFactors?: boolean;
}

async function read(folder: string): Promise<Model> {
  const source = new DirectorySource(folder);
  const checkpoint = await openCheckpoint(source);
  const tensors = new Map<string, Tensor>();
  for (const { name, dtype, shape } of (await checkpoint.tensors()).values()) {
    const [rows, cols] = shape.length === 2 ? [shape[0]!, shape[1]!] : [1, shape[0]!];
    const values = new Float32Array(rows * cols);
    weightFormat(dtype as WeightType).dequantize(await checkpoint.read(name), rows, cols, values);
    tensors.set(name, { shape, values });
  }
  const config = (await checkpoint.config()) as Model["config"];
  const tokenizer = JSON.parse(new TextDecoder().decode(await wholeFile(source, "tokenizer.json")));
  await source.close();
  return { config, tensors, tokenizer };
}

const wholeFile = async (source: DirectorySource, file: string): Promise<Uint8Array> =>
  source.read(file, 0, await source.size(file));

const roundedUp = (size: number): number => Math.ceil(size / SUPER_BLOCK) * SUPER_BLOCK;

/** Zeros at the ends of rows and columns. A norm takes the mean over more coordinates then, which its weight makes up for. */
function padded({ config, tensors, tokenizer }: Model): Model {
  const [hidden, ffn] = [config["hidden_size"] as number, config["intermediate_size"] as number];
  const [newHidden, newFfn] = [roundedUp(hidden), roundedUp(ffn)];
  const widen = (size: number): number => (size === hidden ? newHidden : size === ffn ? newFfn : size);
  const wider = [...tensors].map(([name, { shape, values }]): [string, Tensor] => {
    const [rows, cols] = shape.length === 2 ? [shape[0]!, shape[1]!] : [1, shape[0]!];
    const scale = shape.length === 1 && cols === hidden ? Math.sqrt(hidden / newHidden) : 1;
    const [newRows, newCols] = [shape.length === 2 ? widen(rows) : 1, widen(cols)];
    const out = new Float32Array(newRows * newCols);
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col < cols; col++) out[row * newCols + col] = scale * values[row * cols + col]!;
    }
    return [name, { shape: shape.map(widen), values: out }];
  });
  return {
    config: {
      ...config,
      hidden_size: newHidden,
      intermediate_size: newFfn,
      rms_norm_eps: ((config["rms_norm_eps"] as number) * hidden) / newHidden,
    },
    tensors: new Map(wider),
    tokenizer,
  };
}

/**
 * For architectures without norms of q and k: their projections are scaled so that coordinates are of about size 1 and scores of
 * the same order. Attention is not what it was trained to be, but no sharper than a real one: the sharper it is, the more of
 * any rounding comes out at the end.
 */
function withoutQkNorms(tensors: Tensors, headDim: number): Tensors {
  const out = new Map(tensors);
  for (const name of tensors.keys()) {
    const [, layer, side] = /^(model\.layers\.\d+)\.self_attn\.([qk])_norm\.weight$/.exec(name) ?? [];
    if (layer === undefined) continue;
    out.delete(name);
    const projection = `${layer}.self_attn.${side}_proj.weight`;
    const { shape, values } = tensors.get(projection)!;
    const input = tensors.get(`${layer}.input_layernorm.weight`)!.values;
    const [rows, cols] = [shape[0]!, shape[1]!];
    const scaled = values.slice();
    for (let first = 0; first < rows; first += headDim) {
      const head = scaled.subarray(first * cols, (first + headDim) * cols);
      // A norm's output has coordinates of about the size of its weight.
      const squares = head.reduce((sum, value, i) => sum + (value * input[i % cols]!) ** 2, 0);
      const size = Math.sqrt(squares / headDim);
      for (let i = 0; i < head.length; i++) head[i]! /= size;
    }
    out.set(projection, { shape, values: scaled });
  }
  return out;
}

/** Biases of q, k and v, drawn. */
function withBiases(tensors: Tensors): Tensors {
  const out = new Map(tensors);
  for (const [name, { shape }] of tensors) {
    if (!/[qkv]_proj\.weight$/.test(name)) continue;
    const rng = new CounterRng(out.size, 0);
    const values = Float32Array.from({ length: shape[0]! }, (_, i) => BIAS * rng.gaussian(i));
    out.set(name.replace(/weight$/, "bias"), { shape: [shape[0]!], values });
  }
  return out;
}

/** A head that shares nothing with the embedding but its meaning: every token's row has a length of its own. */
function withHead(tensors: Tensors): Tensors {
  const { shape, values } = tensors.get("model.embed_tokens.weight")!;
  const rng = new CounterRng(7, 0);
  const scaled = values.map((value, i) => value * (0.9 + 0.2 * rng.uniform(Math.floor(i / shape[1]!))));
  return new Map([...tensors, ["lm_head.weight", { shape, values: scaled }]]);
}

async function fileOf(model: Model, variant: Variant): Promise<GgufFile> {
  const { architecture, metadata = [], type } = variant;
  const headDim = model.config["head_dim"] as number;
  let { tensors } = model;
  if (architecture !== "qwen3") tensors = withoutQkNorms(tensors, headDim);
  if (variant.hasBiases) tensors = withBiases(tensors);
  if (variant.hasHead) tensors = withHead(tensors);
  const config = { ...model.config, model_type: architecture };
  const bytes = ({ values }: Tensor) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const floats = await tensorsOf(
    {
      config: async () => config,
      tensors: async () =>
        new Map(
          [...tensors].map(([name, tensor]) => [
            name,
            { name, dtype: "f32", shape: tensor.shape, numBytes: tensor.values.byteLength, file: "" },
          ]),
        ),
      read: async (name) => bytes(tensors.get(name)!),
    },
    architecture,
  );
  const written: WrittenTensor[] = floats.map((tensor) => {
    if (tensor.shape.length === 1) return tensor;
    const name = type(tensor.name);
    const values = new Float32Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength / 4);
    return { ...tensor, type: GGML_TYPES[name]!.id, data: packed(name, values, Number(tensor.shape[1])) };
  });
  if (variant.hasRopeFactors) {
    // As Llama 3.1 stretches them: high frequencies stay, low ones become eight times slower, with a slope in between.
    const factors = Float32Array.from({ length: headDim / 2 }, (_, i) =>
      Math.min(8, Math.max(1, (16 * i) / headDim - 1)),
    );
    const data = new Uint8Array(factors.buffer);
    written.push({ name: "rope_freqs.weight", type: GGML_TYPES["f32"]!.id, shape: [factors.length], data });
  }
  return {
    metadata: [
      ...configMetadata(config as never, architecture),
      ...tokenizerMetadata(model.tokenizer as never, { pre: "qwen2", eos: 0 }),
      ...metadata,
    ],
    tensors: written,
  };
}

const all = (type: string) => (): string => type;
const scaling = (architecture: string, type: string, factor: number): [string, Written][] => [
  [`${architecture}.rope.scaling.type`, { string: type }],
  [`${architecture}.rope.scaling.factor`, { f32: factor }],
  [`${architecture}.rope.scaling.original_context_length`, { u32: 1024 }],
];

/** llama.cpp's usual mix: Q6_K for the embedding, and for v and down of every second layer; Q4_K for the rest. */
const q4KM = (name: string): string => {
  const [, layer, part] = /^blk\.(\d+)\.(\w+)/.exec(name) ?? [];
  if (layer === undefined) return "q6_k";
  return (part === "attn_v" || part === "ffn_down") && Number(layer) % 2 === 0 ? "q6_k" : "q4_k";
};

const VARIANTS: Readonly<Record<string, Variant>> = {
  ...Object.fromEntries(
    Object.keys(GGML_TYPES).map((type): [string, Variant] => [type, { architecture: "qwen3", type: all(type) }]),
  ),
  q4_k_m: { architecture: "qwen3", type: q4KM },
  "llama-f32": { architecture: "llama", type: all("f32") },
  "llama-rope_freqs-f16": { architecture: "llama", type: all("f16"), hasHead: true, hasRopeFactors: true },
  "llama-q8_0": { architecture: "llama", type: all("q8_0") },
  "llama-q4_k_m": { architecture: "llama", type: q4KM, hasHead: true },
  "llama-linear-f32": { architecture: "llama", type: all("f32"), metadata: scaling("llama", "linear", 2) },
  "qwen2-f32": { architecture: "qwen2", type: all("f32"), hasBiases: true },
  "qwen2-yarn-f16": {
    ...{ architecture: "qwen2", type: all("f16"), hasBiases: true, hasHead: true },
    metadata: scaling("qwen2", "yarn", 4),
  },
  "qwen2-q5_0": { architecture: "qwen2", type: all("q5_0"), hasBiases: true },
  "qwen3-yarn-f32": { architecture: "qwen3", type: all("f32"), metadata: scaling("qwen3", "yarn", 4) },
};

export const WRITTEN_MODELS = Object.keys(VARIANTS);

/** models: folder of the embedded checkpoints · names: of `WRITTEN_MODELS` */
export async function writtenModels(models: string, names: readonly string[]): Promise<WrittenModel[]> {
  const model = padded(await read(join(models, "qwen3-3m")));
  return names.map((name) => ({ name, make: async () => writeGguf(await fileOf(model, VARIANTS[name]!)) }));
}
