/** @file Small models of test/fixtures/architectures: weights are made from the names and shapes of their tensors, as make.py beside the files makes them. */
import { readFileSync } from "node:fs";
import type { Checkpoint, TensorInfo } from "../../src/formats/checkpoint.ts";
import type { FileSource } from "../../src/formats/file-source.ts";
import { MemorySource } from "../../src/formats/memory-source.ts";
import { writeSafetensors } from "../../src/formats/write-safetensors.ts";
import { byteTokenizer } from "./fake-checkpoint.ts";

/** A file of test/fixtures/architectures. Numbers are those of Transformers in f32. */
export interface SeededModel {
  readonly config: object;
  /** Shapes by name, as Transformers saves them. */
  readonly tensors: Readonly<Record<string, readonly number[]>>;
  readonly ids: readonly number[];
  /** Length of the logits of every position. */
  readonly logit_l2: readonly number[];
  /** Tokens whose logits are given for every position. */
  readonly probe: readonly number[];
  readonly probe_logits: readonly (readonly number[])[];
}

/** name: of a file of test/fixtures/architectures */
export const seededModel = (name: string): SeededModel =>
  JSON.parse(readFileSync(new URL(`../fixtures/architectures/${name}.json`, import.meta.url), "utf8")) as SeededModel;

/** Uniform numbers by a hash of the tensor's name and the number's place; norms are about 1. */
function valuesOf(name: string, shape: readonly number[]): Float32Array {
  const length = shape.reduce((product, size) => product * size, 1);
  // Of experts by token.
  if (name.endsWith("tid2eid")) return Float32Array.from({ length }, (_, i) => ((i * 5) % 7) % 4);
  let seed = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 0x01000193);
  const isNorm = name.includes("norm") || name.includes("ln_") || name.endsWith("layer_scalar");
  const isAboutOne = isNorm && (name.endsWith("weight") || name.endsWith("layer_scalar"));
  const scale = shape.length > 1 ? Math.sqrt(3 / shape.at(-1)!) : 0.3;
  const offset = shape.length < 2 && isAboutOne ? 1 : 0;
  return Float32Array.from({ length }, (_, i) => {
    let x = (Math.imul(i, 0x9e3779b9) + seed) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    x = (x ^ (x >>> 16)) >>> 0;
    return offset + (x / 2 ** 31 - 1) * scale;
  });
}

export function seededCheckpoint({ config, tensors }: SeededModel): Checkpoint {
  const name = "seeded";
  const infos = new Map(
    Object.entries(tensors).map(([tensor, shape]): [string, TensorInfo] => {
      const numBytes = 4 * shape.reduce((product, size) => product * size, 1);
      return [tensor, { name: tensor, shape, dtype: "f32", numBytes, file: name, isFinite: true }];
    }),
  );
  return {
    name,
    modelName: name,
    container: null,
    files: new MemorySource({}, name),
    configFile: "config.json",
    stem: null,
    config: async () => config,
    tensors: async () => infos,
    read: async (tensor, start = 0, end?) =>
      new Uint8Array(valuesOf(tensor, tensors[tensor]!).buffer).slice(start, end),
    fingerprint: async () => name,
  };
}

/** The files of a whole model with a tokenizer of bytes. name: of a file of test/fixtures/architectures · fields: of the config, others */
export function seededFiles(name: string, fields: object = {}): Record<string, string | Uint8Array> {
  const { config, tensors } = seededModel(name);
  const { vocab_size: vocabSize } = config as { readonly vocab_size: number };
  const stored = Object.entries(tensors).map(([tensor, shape]) => {
    const { buffer } = valuesOf(tensor, shape);
    return [tensor, { dtype: "f32" as const, shape, data: new Uint8Array(buffer) }] as const;
  });
  return {
    "config.json": JSON.stringify({ ...config, ...fields }),
    "tokenizer.json": byteTokenizer(vocabSize),
    "model.safetensors": writeSafetensors(Object.fromEntries(stored)),
  };
}

/** The same as `LLM.load` takes it. */
export const seededSource = (name: string, fields?: object): FileSource =>
  new MemorySource(seededFiles(name, fields), name, name);
