/** @file Reads safetensors checkpoints, one file or several shards, tensor by tensor. */
import { TurboQuantError } from "../errors.ts";
import type { CheckpointContainer, TensorInfo, TensorSet } from "./checkpoint.ts";
import type { FileSource } from "./file-source.ts";
import { splitTables, withTables } from "./integer-tensors.ts";
import { isJsonObject, readJsonObject } from "./json-file.ts";
import { quantizedTensors } from "./quantized/quantized-tensors.ts";
import { isSafeFileName } from "./safe-file-name.ts";
import {
  DTYPES,
  MAX_TENSORS,
  readSafetensorsHeader,
  type StoredDtype,
  type StoredTensor,
} from "./safetensors-header.ts";
import { withTextPart } from "./text-part.ts";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** By convention a shard has up to 5 GB, so this allows 50 TB. */
const MAX_SHARDS = 10_000;

/** Reads `model.safetensors`, or else the shards listed in `model.safetensors.index.json`. */
export const safetensors: CheckpointContainer = {
  name: "safetensors",
  isIn: async (source) =>
    source.weights === undefined && !source.quant && ((await source.has(SINGLE)) || (await source.has(INDEX))),
  async openTensors(source) {
    const isSingle = await source.has(SINGLE);
    const stored = isSingle ? (await readSafetensorsHeader(source, SINGLE)).tensors : await readShards(source);
    const { tables, others } = splitTables(stored);
    const isPlain = others.every(({ dtype }) => dtype !== null);
    const set = isPlain ? tensorSet(source, others) : await quantizedTensors(source, others);
    return withTextPart(withTables(set, source, tables));
  },
};

export interface SafetensorsFile extends TensorSet {
  /** `__metadata__` of the file's header. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads and checks the header of one file.
 * @throws TurboQuantError invalid_file — absent, truncated or inconsistent; unsupported — a dtype without a reader
 */
export async function openSafetensors(source: FileSource, file: string): Promise<SafetensorsFile> {
  const { tensors, metadata } = await readSafetensorsHeader(source, file);
  return { ...tensorSet(source, tensors), metadata };
}

function tensorSet(source: FileSource, infos: readonly StoredTensor[]): TensorSet {
  const tensors = new Map<string, TensorInfo & { readonly offset: number }>();
  for (const info of infos) tensors.set(info.name, { ...info, dtype: weightDtype(source, info) });
  return {
    tensors,
    async read(name, start = 0, end, options) {
      const info = tensors.get(name);
      if (!info) {
        throw new TurboQuantError(
          "invalid_file",
          `${source.name}: tensor ${name} is missing; the checkpoint is of another model than expected`,
          { tensor: name },
        );
      }
      return await source.read(info.file, info.offset + start, info.offset + (end ?? info.numBytes), options);
    },
  };
}

function weightDtype(source: FileSource, { name, stored, dtype, file }: StoredTensor): StoredDtype {
  if (dtype) return dtype;
  throw new TurboQuantError(
    "unsupported",
    `${source.name}/${file}: tensor ${name}: expected dtype ${Object.keys(DTYPES).join(" or ")}, got ${stored}; use the bf16 checkpoint of this model`,
    { file, tensor: name, dtype: stored },
  );
}

async function readShards(source: FileSource): Promise<StoredTensor[]> {
  const index = `${source.name}/${INDEX}`;
  const { weight_map: map } = await readJsonObject(source, INDEX);
  if (!isJsonObject(map)) {
    throw new TurboQuantError("invalid_file", `${index}: expected an object weight_map; copy or download it again`, {
      file: INDEX,
    });
  }
  const byShard = new Map<string, Set<string>>();
  const entries = Object.entries(map);
  if (entries.length > MAX_TENSORS) {
    throw new TurboQuantError(
      "invalid_file",
      `${index}: expected at most ${MAX_TENSORS} tensors, got ${entries.length}; copy or download it again`,
    );
  }
  for (const [name, shard] of entries) {
    if (typeof shard !== "string" || !isSafeFileName(shard) || !shard.endsWith(".safetensors")) {
      throw new TurboQuantError(
        "invalid_file",
        `${index}: tensor ${name}: expected the name of a .safetensors file beside it, got ${JSON.stringify(shard)?.slice(0, 80)}; do not trust this checkpoint`,
        { file: INDEX, tensor: name },
      );
    }
    const names = byShard.get(shard) ?? new Set();
    byShard.set(shard, names.add(name));
  }
  if (byShard.size > MAX_SHARDS) {
    throw new TurboQuantError(
      "invalid_file",
      `${index}: expected at most ${MAX_SHARDS} shards, got ${byShard.size}; copy or download it again`,
    );
  }
  const missing: string[] = [];
  for (const shard of byShard.keys()) if (!(await source.has(shard))) missing.push(shard);
  if (missing.length > 0) {
    throw new TurboQuantError(
      "invalid_file",
      `${source.name}: ${missing.length} of ${byShard.size} shards are missing (${missing.slice(0, 3).join(", ")}${missing.length > 3 ? ", …" : ""}); download them, or finish the interrupted download`,
      { missing },
    );
  }
  const infos: StoredTensor[] = [];
  for (const [shard, names] of byShard) {
    const found = (await readSafetensorsHeader(source, shard)).tensors.filter((info) => names.has(info.name));
    if (found.length < names.size) {
      for (const info of found) names.delete(info.name);
      const [name] = names;
      throw new TurboQuantError(
        "invalid_file",
        `${source.name}/${shard}: tensor ${name} is missing though ${INDEX} places it here; index and shards are of different downloads, fetch them again`,
        { file: shard, tensor: name },
      );
    }
    infos.push(...found);
  }
  return infos;
}
