/**
 * @file Identities of a checkpoint from samples of its weights: a cheap one, to refuse a KV snapshot of another model, and one that reads of every tensor.
 * Neither gives protection against forgery.
 */
import type { Checkpoint, TensorInfo } from "./checkpoint.ts";
import { isJsonObject } from "./json-file.ts";
import { sha256Hex } from "./sha256.ts";

/**
 * Fine-tunes share names, shapes and config with their base model, so samples of the weights are hashed too: 64 windows, spread
 * evenly over the bytes. A change of a tenth of the bytes (LoRA merged into two projections) is missed once in 800.
 */
const WINDOWS = 64;
const WINDOW_BYTES = 256;
/** At once. Few, because a weight of a quantized checkpoint is put together as a whole to be read. */
const READS = 8;
/** A tensor of at most so many bytes, as norms and biases are, is read whole by `weightsDigestOf`, and of a larger one its middle. */
const WHOLE_BYTES = 16_384;
const MIDDLE_BYTES = 4_096;
/** Fields of config.json that change when a model is merely saved again. */
const VOLATILE = new Set(["transformers_version", "_name_or_path", "torch_dtype", "dtype", "use_cache"]);

/** 64 hex digits. Tensors are hashed in the order of their names, so the split into shards does not matter. */
export async function fingerprintOf(checkpoint: Omit<Checkpoint, "fingerprint">): Promise<string> {
  const sorted = await sortedTensors(checkpoint);
  const total = sorted.reduce((sum, info) => sum + info.numBytes, 0);
  const header = sorted.map((info) => [info.name, info.dtype, info.shape]);
  const config = (await checkpoint.files.has("config.json")) ? await checkpoint.config() : null;
  const text = JSON.stringify([header, canonical(config)]);

  const ranges: Range[] = [];
  let before = 0;
  let window = 0;
  for (const info of sorted) {
    for (; window < WINDOWS; window++) {
      const at = Math.floor(((window + 0.5) * total) / WINDOWS) - before;
      if (at >= info.numBytes) break;
      const end = Math.min(info.numBytes, at + WINDOW_BYTES);
      ranges.push({ name: info.name, at, end });
    }
    before += info.numBytes;
  }
  const samples = await readAll(checkpoint, ranges, (bytes) => bytes);
  return sha256Hex([new TextEncoder().encode(text), ...samples]);
}

/**
 * 64 hex digits, of the fingerprint and bytes of every tensor: small ones whole, of each other one its middle. It takes a read of each tensor, which for
 * remote weights is a request.
 */
export async function weightsDigestOf(checkpoint: Checkpoint): Promise<string> {
  const ranges = (await sortedTensors(checkpoint)).map(({ name, numBytes }): Range => {
    if (numBytes <= WHOLE_BYTES) return { name, at: 0, end: numBytes };
    const at = Math.floor((numBytes - MIDDLE_BYTES) / 2);
    return { name, at, end: at + MIDDLE_BYTES };
  });
  const digests = await readAll(checkpoint, ranges, (bytes) => sha256Hex([bytes]));
  return sha256Hex([new TextEncoder().encode(JSON.stringify([await checkpoint.fingerprint(), digests]))]);
}

interface Range {
  readonly name: string;
  readonly at: number;
  readonly end: number;
}

async function sortedTensors(checkpoint: Pick<Checkpoint, "tensors">): Promise<TensorInfo[]> {
  return [...(await checkpoint.tensors()).values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

async function readAll<T>(
  checkpoint: Pick<Checkpoint, "read">,
  ranges: readonly Range[],
  what: (bytes: Uint8Array) => T,
): Promise<T[]> {
  const all: T[] = [];
  for (let first = 0; first < ranges.length; first += READS) {
    const some = ranges.slice(first, first + READS);
    all.push(...(await Promise.all(some.map(async ({ name, at, end }) => what(await checkpoint.read(name, at, end))))));
  }
  return all;
}

/** The same value with sorted keys and without the volatile fields of the top level. */
function canonical(value: unknown, depth = 0): unknown {
  if (Array.isArray(value)) return value.map((item) => canonical(item, depth + 1));
  if (!isJsonObject(value)) return value;
  const keys = Object.keys(value).filter((key) => depth > 0 || !VOLATILE.has(key));
  return keys.sort().map((key) => [key, canonical(value[key], depth + 1)]);
}
