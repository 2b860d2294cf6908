/** @file GGUF as a kind of checkpoint: one file, or the parts of a split one, with config and tokenizer in its metadata. */
import { TurboQuantError } from "../../errors.ts";
import { bytesOf } from "../../weights/elements.ts";
import { weightFormat } from "../../weights/registry.ts";
import { isPlain } from "../../weights/weight-format.ts";
import type { CheckpointContainer, TensorInfo, TensorSet } from "../checkpoint.ts";
import type { FileSource } from "../file-source.ts";
import { hubName, parseHubId } from "../hub-id.ts";
import type { JsonObject } from "../json-file.ts";
import { MadeFiles } from "../made-files.ts";
import { ggufStem, saidName } from "../model-name.ts";
import { canonicalName, type GgufArchitecture, partOf, storedName } from "./architecture.ts";
import { ARCHITECTURES } from "./architectures.ts";
import { configJson, kvHeadsOf } from "./config-json.ts";
import { apart, slicesOf } from "./fused-tensors.ts";
import { type GgufHeader, type GgufTensor, readGgufHeader } from "./header.ts";
import { Metadata } from "./metadata.ts";
import { chooseModel, firstPath, ggufModels, isGgufPath, type ModelsPlace, onlyModel } from "./model-files.ts";
import { firstPart, splitParts } from "./split.ts";
import { type TokenizerFiles, tokenizerFiles } from "./tokenizer-json.ts";

/** A file with its metadata understood. */
interface Gguf {
  readonly where: string;
  readonly metadata: Metadata;
  readonly architecture: GgufArchitecture;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Headers are read once for config, tokenizer and tensors. */
const opened = new WeakMap<FileSource, Promise<Gguf>>();

export const gguf: CheckpointContainer = {
  name: "gguf",
  isIn: async (source) => source.weights !== undefined || !!source.quant || (await ggufFiles(source)).length > 0,
  async describe(source) {
    const file = await open(source);
    checkTokens(file);
    const own = await configOf(source, file);
    let made: TokenizerFiles | null = tokenizerFiles(file.metadata, file.where);
    const { config, generation } = made;
    // A vocabulary takes megabytes: it is kept until it is asked for, and made again for who asks once more.
    const tokenizer = (): JsonObject => {
      const first = made ?? tokenizerFiles(file.metadata, file.where);
      made = null;
      return first.tokenizer;
    };
    const files = new MadeFiles(
      {
        "config.json": () => own,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": () => config,
        "generation_config.json": () => generation,
      },
      file.where,
    );
    const stem = ggufStem(file.where);
    const said = file.metadata.raw("general.name");
    const modelName = (typeof said === "string" ? saidName(said) : null) ?? stem;
    return { files, modelName, configFile: file.where, stem };
  },
  openTensors: async (source) => tensorSet(source, await open(source)),
};

function open(source: FileSource): Promise<Gguf> {
  let file = opened.get(source);
  if (!file) {
    file = openFile(source);
    opened.set(source, file);
  }
  return file;
}

async function openFile(source: FileSource): Promise<Gguf> {
  const header = await modelHeader(source);
  const where = `${source.name}/${header.file}`;
  const metadata = new Metadata(header.metadata, where);
  const { architecture: name } = metadata;
  if (name === "clip") {
    throw new TurboQuantError(
      "unsupported",
      `${where}: general.architecture: expected a language model, got clip, an image encoder (mmproj) that goes with one; load the model's own file`,
      { architecture: name },
    );
  }
  const kind = metadata.string("general.type", "model");
  if (kind !== "model") {
    throw new TurboQuantError(
      "unsupported",
      `${where}: general.type: expected a model, got ${kind.slice(0, 40)}; load the base model, with an adapter merged into it`,
      { kind },
    );
  }
  const named = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name] : undefined;
  const hasExperts = Number(metadata.raw(metadata.own("expert_count")) ?? 0) > 0;
  const architecture = hasExperts ? (named?.withExperts ?? named) : named;
  if (!architecture) {
    throw new TurboQuantError(
      "unsupported",
      `${where}: general.architecture: expected one of ${Object.keys(ARCHITECTURES).join(", ")}, got ${name.slice(0, 40)}`,
      { architecture: name },
    );
  }
  const parts = await splitParts(source, header);
  const tensors = new Map<string, GgufTensor>();
  for (const tensor of parts.flatMap((part) => part.tensors)) {
    if (tensors.has(tensor.name)) {
      throw new TurboQuantError(
        "invalid_file",
        `${where}: the tensor ${tensor.name} is in two parts of the split; download them again`,
      );
    }
    tensors.set(tensor.name, tensor);
  }
  if (tensors.size === 0) {
    throw new TurboQuantError(
      "invalid_file",
      `${where}: expected a model, got a file without tensors (a vocabulary only); download the model's file`,
    );
  }
  const { withPart } = architecture;
  const hasPart = withPart && tensors.has(`blk.0.${withPart.part}.weight`);
  const own = hasPart ? { ...architecture, layer: { ...architecture.layer, ...withPart.layer } } : architecture;
  return { where, metadata, architecture: own, tensors };
}

/** The file that was named, the one of the quantization that was, or the one model among the GGUF files of a folder. */
async function modelHeader(source: FileSource): Promise<GgufHeader> {
  if (source.weights) return readGgufHeader(source, firstPart(source.weights));
  const files = await ggufFiles(source);
  const models = ggufModels(files.map((path) => ({ path })));
  const place = placeOf(source);
  if (source.quant !== undefined && models.length > 0) {
    return readGgufHeader(source, firstPath(chooseModel(place, { quant: source.quant, file: null }, models)));
  }
  const headers = new Map<string, GgufHeader>();
  for (const file of models.length > 0 ? models.map(firstPath) : files) {
    headers.set(file, await readGgufHeader(source, file));
  }
  const others = models.filter((model) => isModel(headers.get(firstPath(model))!));
  if (others.length > 1) onlyModel(place, others);
  const file = others.length > 0 ? firstPath(others[0]!) : [...headers.keys()][0];
  if (file !== undefined) return headers.get(file)!;
  throw new TurboQuantError(
    "invalid_argument",
    `${source.name}: expected a GGUF file, got none; name the folder or the address of one`,
  );
}

/** Image encoders, adapters and importance matrices lie beside the model that they go with. */
const isModel = ({ metadata }: GgufHeader): boolean =>
  metadata.get("general.architecture") !== "clip" && (metadata.get("general.type") ?? "model") === "model";

function placeOf({ name }: FileSource): ModelsPlace {
  const id = parseHubId(name);
  return {
    name,
    ref(select) {
      if (id) return hubName({ ...id, ...select });
      return select.quant === null ? `${name}/${select.file ?? ""}` : `${name}:${select.quant}`;
    },
    repair: "download or upload them",
  };
}

const ggufFiles = async (source: FileSource): Promise<string[]> =>
  ((await source.list?.()) ?? []).filter(isGgufPath).sort();

/** Before the vocabulary is worked on, which takes time and memory for each of its tokens. */
function checkTokens({ metadata, tensors }: Gguf): void {
  const key = "tokenizer.ggml.tokens";
  const rows = tensors.get("token_embd.weight")?.shape[0];
  if (rows !== undefined && rows < metadata.texts(key).length)
    throw metadata.invalid(key, `at most the ${rows} tokens that token_embd.weight has rows for`);
}

async function configOf(source: FileSource, { metadata, architecture, tensors }: Gguf) {
  const embedding = tensors.get("token_embd.weight");
  const factors = tensors.get("rope_freqs.weight");
  const [short, long] = ["short", "long"].map((which) => tensors.get(`rope_factors_${which}.weight`));
  const numTokens = metadata.texts("tokenizer.ggml.tokens").length;
  const own = configJson(metadata, {
    architecture,
    vocabSize: embedding?.shape[0] ?? numTokens,
    hasHead: tensors.has("output.weight"),
    hasAttentionBias: [...tensors.keys()].some((name) => /\.attn_(qkv|[qkv])\.bias$/.test(name)),
    shapeOf: (name) => tensors.get(name)?.shape,
    layersWith: (part) =>
      Array.from({ length: metadata.numLayers }, (_, layer) =>
        [`blk.${layer}.${part}`, `blk.${layer}.${part}.weight`].some((name) => tensors.has(name)),
      ),
    ropeFactors: factors ? await readDivisors(source, factors) : null,
    longRope:
      short && long ? { short: await readDivisors(source, short), long: await readDivisors(source, long) } : null,
  });
  const { withImages } = architecture;
  return withImages && [...tensors.keys()].some(isOfImages) ? { model_type: withImages, text_config: own } : own;
}

async function readDivisors(source: FileSource, tensor: GgufTensor): Promise<number[]> {
  const values = await readFloats(source, tensor);
  if (values.every((value) => value > 0 && Number.isFinite(value))) return Array.from(values);
  throw new TurboQuantError(
    "invalid_file",
    `${source.name}/${tensor.file}: ${tensor.name}: expected positive numbers, got others; copy or download it again`,
    { tensor: tensor.name },
  );
}

async function readFloats(source: FileSource, tensor: GgufTensor): Promise<Float32Array> {
  const { file, offset, numBytes, name, type, shape } = tensor;
  const format = weightFormat(type.format!);
  if (!isPlain(format)) {
    throw new TurboQuantError(
      "unsupported",
      `${source.name}/${file}: ${name}: expected f32, f16 or bf16, got ${type.name}; choose another file of this model`,
      { tensor: name },
    );
  }
  const count = shape.reduce((product, size) => product * size, 1);
  const values = new Float32Array(count);
  format.dequantize(await source.read(file, offset, offset + numBytes), 1, count, values);
  return values;
}

/** Whether the architecture computes with this bias. */
const hasBias = ({ biases, whole = {} }: GgufArchitecture, name: string): boolean =>
  biases === "all" ||
  (biases !== undefined && /\.attn_(qkv|[qkv])\.bias$/.test(name)) ||
  (biases === "products" && /\.(attn_output|ffn_(gate|up|down))\.bias$/.test(name)) ||
  Object.hasOwn(whole, name.replace(/^blk\.\d+\./, ""));

function tensorSet(source: FileSource, { where, architecture, tensors: stored, metadata }: Gguf): TensorSet {
  const byName = new Map<string, GgufTensor>();
  const tensors = new Map<string, TensorInfo>();
  /** Tensors that are no bytes of a file. */
  const made = new Map<string, () => Promise<Uint8Array>>();
  const add = (info: Omit<TensorInfo, "dtype" | "numBytes">, values: () => Promise<Float32Array>): void => {
    const count = info.shape.reduce((product, size) => product * size, 1);
    tensors.set(info.name, { ...info, dtype: "f32", numBytes: count * Float32Array.BYTES_PER_ELEMENT });
    made.set(info.name, async () => bytesOf(await values()));
  };
  for (const tensor of [...stored.values()].flatMap((own) => apart(own, architecture, metadata))) {
    const slices = slicesOf(tensor, architecture);
    if (slices) {
      for (const slice of slices) {
        const { name, numBytes, file, type, shape } = slice;
        byName.set(name, slice);
        tensors.set(name, { name, dtype: type.format!, shape, numBytes, file });
      }
      continue;
    }
    const name = canonicalName(tensor.name, architecture);
    const isBeside = architecture.withImages !== undefined && isOfImages(tensor.name);
    if ((!name && (isUnused(tensor.name) || isBeside)) || isGuessing(tensor.name, metadata)) continue;
    const isOddBias = tensor.name.endsWith(".bias") && !hasBias(architecture, tensor.name);
    if (!name || isOddBias || isBeyond(tensor.name, metadata)) throw unknownTensor(source, tensor, metadata);
    byName.set(name, tensor);
    const { numBytes, file, type } = tensor;
    const part = partOf(tensor.name);
    const shape = architecture.shapes?.[part]?.(tensor.shape) ?? tensor.shape;
    const change = architecture.values?.[part];
    if (change) add({ name, shape, file }, async () => (await readFloats(source, tensor)).map(change));
    else tensors.set(name, { name, dtype: type.format!, shape, numBytes, file });
  }
  for (const [name, values] of architecture.made?.(metadata) ?? []) {
    add({ name, shape: [values.length], file: where }, async () => Float32Array.from(values));
  }
  return {
    tensors,
    nameInFile: (name) => storedName(name, architecture),
    async read(name, start = 0, end, options) {
      const own = made.get(name);
      if (own) return (await own()).subarray(start, end);
      const tensor = byName.get(name);
      if (!tensor) {
        throw new TurboQuantError(
          "invalid_file",
          `${source.name}: tensor ${name} is missing; the file is of another model than expected`,
          { tensor: name },
        );
      }
      const { file, offset, numBytes } = tensor;
      const last = end ?? numBytes;
      const heads = headsOf(name);
      if (!architecture.interleavesHeads || heads === null) {
        return source.read(file, offset + start, offset + last, options);
      }
      // Rows change places within their head, so the heads that the range touches are read.
      const numHeads = metadata.size(metadata.own("attention.head_count"), Number.MAX_SAFE_INTEGER);
      const [rows, count] = [tensor.shape[0]!, heads === "q" ? numHeads : kvHeadsOf(metadata, architecture, numHeads)];
      const headBytes = numBytes / count;
      const first = Math.floor(start / headBytes) * headBytes;
      const bytes = await source.read(file, offset + first, offset + Math.ceil(last / headBytes) * headBytes, options);
      // Only what lies in memory that was handed over may be changed: other bytes may be the source's own.
      const changeable = bytes.buffer === options?.into?.buffer ? bytes : bytes.slice();
      return bytesOfHalves(changeable, rows / count, headBytes).subarray(start - first, last - first);
    },
  };
}

/** Tensors that other programs need and ours computes itself, and the divisors, which went into the config. */
const isUnused = (name: string): boolean =>
  /^(rope_(freqs|factors_short|factors_long)\.weight|blk\.\d+\.(attn_rot_embd|rope_freqs)\.weight|blk\.\d+\.attn\.rope\.freqs)$/.test(
    name,
  );

/** Of an image encoder, and of what makes its outputs rows of the model. */
const isOfImages = (name: string): boolean => /^(v|mm)\./.test(name);

const layerOf = (name: string): number => Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1);

const isBeyond = (name: string, metadata: Metadata): boolean =>
  layerOf(name) >= Number(metadata.raw(metadata.own("block_count")) ?? 0);

/** Whether it is of a layer behind those of the model, which guesses further tokens. */
const isGuessing = (name: string, metadata: Metadata): boolean =>
  layerOf(name) >= metadata.numLayers && !isBeyond(name, metadata);

/** Without it the numbers would be wrong. */
function unknownTensor(source: FileSource, { name, file }: GgufTensor, metadata: Metadata): TurboQuantError {
  const count = metadata.own("block_count");
  const why = isBeyond(name, metadata)
    ? `a layer that ${count} (${metadata.raw(count)}) does not have`
    : "a part that is not computed with here";
  return new TurboQuantError(
    "unsupported",
    `${source.name}/${file}: ${name}: expected the tensors of ${metadata.architecture}, got ${why}; choose another file or another model`,
    { tensor: name },
  );
}

function headsOf(name: string): "q" | "k" | null {
  const [, which] = /self_attn\.([qk])_proj\./.exec(name) ?? [];
  return (which as "q" | "k" | undefined) ?? null;
}

/**
 * Rows of each head from neighbouring pairs (0, 1), (2, 3), … to halves: all first ones of a pair, then all second ones.
 * bytes: of whole heads, which are changed; returned
 */
function bytesOfHalves(bytes: Uint8Array, headDim: number, headBytes: number): Uint8Array {
  const rowBytes = headBytes / headDim;
  const head = new Uint8Array(headBytes);
  for (let start = 0; start < bytes.length; start += headBytes) {
    head.set(bytes.subarray(start, start + headBytes));
    for (let row = 0; row < headDim; row++) {
      const to = (row % 2) * (headDim / 2) + Math.floor(row / 2);
      bytes.set(head.subarray(row * rowBytes, (row + 1) * rowBytes), start + to * rowBytes);
    }
  }
  return bytes;
}
