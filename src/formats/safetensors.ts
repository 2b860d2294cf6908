/** @file Opens a safetensors checkpoint, in one file or in shards, and reads its tensors by range. */
import { TurboQuantError } from "../errors.ts";
import { fingerprintOf } from "./checkpoint-fingerprint.ts";
import type { FileSource } from "./file-source.ts";
import { isJsonObject, readJsonObject } from "./json-file.ts";
import { isSafeFileName } from "./safe-file-name.ts";
import { MAX_TENSORS, readSafetensorsHeader, type TensorInfo } from "./safetensors-header.ts";

export type { StoredDtype, TensorInfo } from "./safetensors-header.ts";

export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Texts of the file's own header; empty for shards. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Bytes of all tensors. */
  readonly totalBytes: number;
  /** A tensor's bytes, little endian, row-major. @throws TurboQuantError invalid_file — no such tensor, or truncated */
  read(name: string): Promise<Uint8Array>;
  /** Identifies the model: names, shapes, samples of the weights and config.json. Independent of sharding. */
  fingerprint(): Promise<string>;
}

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** A shard holds 5 GB by convention, so this is 50 TB. */
const MAX_SHARDS = 10_000;

/**
 * Reads and checks all headers; no weights yet.
 *
 * file: one certain safetensors file; by default `model.safetensors`, else the shards of `model.safetensors.index.json`
 * @throws TurboQuantError invalid_file — absent, truncated or inconsistent; unsupported — a dtype we do not read
 */
export async function openCheckpoint(source: FileSource, file?: string): Promise<Checkpoint> {
  const tensors = new Map<string, TensorInfo>();
  let metadata: Checkpoint["metadata"] = {};
  if (file !== undefined || (await source.has(SINGLE))) {
    const header = await readSafetensorsHeader(source, file ?? SINGLE);
    for (const info of header.tensors) tensors.set(info.name, info);
    metadata = header.metadata;
  } else if (await source.has(INDEX)) {
    for (const info of await readShards(source)) tensors.set(info.name, info);
  } else {
    throw await noWeights(source);
  }
  return {
    tensors,
    metadata,
    totalBytes: [...tensors.values()].reduce((sum, info) => sum + info.numBytes, 0),
    async read(name) {
      const info = tensors.get(name);
      if (!info) {
        throw new TurboQuantError(
          "invalid_file",
          `${source.name}: tensor ${name} is missing; the checkpoint is of another model than expected`,
          { tensor: name },
        );
      }
      return await source.read(info.file, info.offset, info.offset + info.numBytes);
    },
    fingerprint: () => fingerprintOf(source, tensors),
  };
}

async function readShards(source: FileSource): Promise<TensorInfo[]> {
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
  const infos: TensorInfo[] = [];
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

async function noWeights(source: FileSource): Promise<TurboQuantError> {
  for (const file of ["adapter_model.safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json"]) {
    if (!(await source.has(file))) continue;
    const next = file.startsWith("adapter")
      ? "merge the adapter into its base model first"
      : "convert it to safetensors first";
    return new TurboQuantError(
      "unsupported",
      `${source.name}: expected ${SINGLE} or ${INDEX}, got only ${file}; ${next}`,
      { file },
    );
  }
  return new TurboQuantError(
    "invalid_file",
    `${source.name}: expected ${SINGLE} or ${INDEX}, got neither; check that this is a Hugging Face checkpoint directory and that its download finished`,
  );
}
