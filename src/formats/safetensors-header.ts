/**
 * @file Parses and checks the header of one safetensors file. Nothing in it is trusted before it was checked.
 *
 * Layout: u64 LE header length N · N bytes of JSON {name: {dtype, shape, data_offsets: [begin, end]}} · data, to which the
 * offsets are relative. Source: the safetensors format description, github.com/huggingface/safetensors.
 */
import { TurboQuantError } from "../errors.ts";
import { weightFormat } from "../weights/registry.ts";
import { matrixBytes } from "../weights/weight-format.ts";
import type { TensorInfo } from "./checkpoint.ts";
import type { FileSource } from "./file-source.ts";
import { isJsonObject, parseJson } from "./json-file.ts";

/** The file's dtype names with our weight formats. */
export const DTYPES = { F32: "f32", F16: "f16", BF16: "bf16" } as const;
export type StoredDtype = (typeof DTYPES)[keyof typeof DTYPES];

/** Bytes of a value of the dtypes that are parts of quantized weights, not weights by themselves. */
const PART_BYTES: Readonly<Record<string, number>> = {
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  I32: 4,
  U32: 4,
  I64: 8,
  U64: 8,
};

export interface StoredTensor extends Omit<TensorInfo, "dtype"> {
  /** The dtype as the file spells it. */
  readonly stored: string;
  /** The weight format; null for a part of a quantized weight. */
  readonly dtype: StoredDtype | null;
  /** Where the tensor's bytes begin in the file. */
  readonly offset: number;
}

/** The limit of the reference implementation; real headers are below 20 MB. */
export const MAX_HEADER_BYTES = 100_000_000;
/** The largest public checkpoints (hundreds of experts a layer) have under 100,000 tensors in all shards together. */
export const MAX_TENSORS = 500_000;
/** Weights of language models have one or two dimensions, and convolutions up to five. */
const MAX_DIMS = 8;
/** Names are module paths; this is ten times the longest known to us. */
const MAX_NAME_LENGTH = 1024;

/** Bytes before the header. */
const PREFIX_BYTES = 8;

const REFETCH = "the file is damaged, copy or download it again";

function invalid(file: string, what: string, detail: Record<string, unknown> = {}): TurboQuantError {
  return new TurboQuantError("invalid_file", `${file}: ${what}`, { file, ...detail });
}

export interface SafetensorsHeader {
  readonly tensors: readonly StoredTensor[];
  /** The file's `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** @throws TurboQuantError invalid_file — truncated or inconsistent; unsupported — a dtype without a reader */
export async function readSafetensorsHeader(source: FileSource, file: string): Promise<SafetensorsHeader> {
  const path = `${source.name}/${file}`;
  const size = await source.size(file);
  if (size < PREFIX_BYTES) {
    throw invalid(path, `expected a safetensors file, got ${size} bytes, less than its 8-byte prefix; ${REFETCH}`, {
      size,
    });
  }
  const prefix = await source.read(file, 0, PREFIX_BYTES);
  const view = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES);
  // A length above 2^53 loses precision here, but is far above the limit anyway.
  const headerBytes = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
  if (headerBytes > MAX_HEADER_BYTES) {
    throw invalid(
      path,
      `expected a header of at most ${MAX_HEADER_BYTES} bytes, got a length of ${headerBytes}; the file is damaged or no safetensors file (a Git LFS pointer?), download it again`,
      { headerBytes },
    );
  }
  if (PREFIX_BYTES + headerBytes > size) {
    throw invalid(
      path,
      `expected a header of ${headerBytes} bytes, got a file of ${size}; the file is truncated, copy or download it again`,
      {
        headerBytes,
        size,
      },
    );
  }
  const json = parseJson(await source.read(file, PREFIX_BYTES, PREFIX_BYTES + headerBytes), `${path} (header)`);
  if (!isJsonObject(json)) throw invalid(path, `expected a JSON object as header; ${REFETCH}`);
  const { __metadata__: metadata = {} } = json;
  const texts = Object.entries(isJsonObject(metadata) ? metadata : {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return {
    tensors: parseHeader(json, file, path, PREFIX_BYTES + headerBytes, size),
    metadata: Object.fromEntries(texts),
  };
}

function parseHeader(
  json: Readonly<Record<string, unknown>>,
  file: string,
  path: string,
  dataStart: number,
  fileSize: number,
): StoredTensor[] {
  const entries = Object.entries(json).filter(([name]) => name !== "__metadata__");
  if (entries.length > MAX_TENSORS) {
    throw invalid(path, `expected at most ${MAX_TENSORS} tensors, got ${entries.length}; ${REFETCH}`);
  }
  const infos: StoredTensor[] = [];
  for (const [name, entry] of entries) infos.push(parseEntry(name, entry, file, path, dataStart, fileSize));
  checkOverlap(infos, path);
  return infos;
}

function parseEntry(
  name: string,
  entry: unknown,
  file: string,
  path: string,
  dataStart: number,
  fileSize: number,
): StoredTensor {
  const shown = name.length > 80 ? `${name.slice(0, 80)}…` : name;
  const at = `${path}: tensor ${shown}`;
  if (name.length > MAX_NAME_LENGTH) {
    throw invalid(at, `expected a name of at most ${MAX_NAME_LENGTH} characters, got ${name.length}; ${REFETCH}`);
  }
  if (!isJsonObject(entry)) throw invalid(at, `expected {dtype, shape, data_offsets}, got ${typeof entry}; ${REFETCH}`);
  const { dtype: stored, shape, data_offsets: offsets } = entry;
  if (typeof stored !== "string") throw invalid(at, `expected a dtype, got ${JSON.stringify(stored)}; ${REFETCH}`);
  const dtype = Object.hasOwn(DTYPES, stored) ? DTYPES[stored as keyof typeof DTYPES] : null;
  const partBytes = Object.hasOwn(PART_BYTES, stored) ? PART_BYTES[stored]! : 0;
  if (!dtype && !partBytes) {
    throw new TurboQuantError(
      "unsupported",
      `${at}: expected dtype ${Object.keys(DTYPES).join(" or ")}, or one of a quantized checkpoint, got ${stored.slice(0, 20)}; use the bf16 checkpoint of this model`,
      { file, tensor: name, dtype: stored },
    );
  }
  if (!Array.isArray(shape) || shape.length > MAX_DIMS || !shape.every(isCount)) {
    throw invalid(
      at,
      `expected a shape of at most ${MAX_DIMS} whole numbers, got ${JSON.stringify(shape)?.slice(0, 80)}; ${REFETCH}`,
    );
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1]) {
    throw invalid(at, `expected data_offsets [begin, end], got ${JSON.stringify(offsets)?.slice(0, 80)}; ${REFETCH}`);
  }
  const [begin, end] = offsets as [number, number];
  // The product is a double: beyond 2^53 it is inexact, but then it never equals the size of an existing file.
  const numValues = (shape as number[]).reduce((product, dim) => product * dim, 1);
  const numBytes = dtype ? matrixBytes(weightFormat(dtype), 1, numValues) : numValues * partBytes;
  if (numBytes !== end - begin) {
    throw invalid(
      at,
      `expected ${numBytes} bytes for ${stored} [${shape}], got data_offsets of ${end - begin}; ${REFETCH}`,
      {
        tensor: name,
        expected: numBytes,
        got: end - begin,
      },
    );
  }
  if (dataStart + end > fileSize) {
    throw invalid(
      at,
      `expected a file of at least ${dataStart + end} bytes, got ${fileSize}; the file is truncated, copy or download it again`,
      {
        tensor: name,
        expected: dataStart + end,
        got: fileSize,
      },
    );
  }
  return { name, stored, dtype, shape: shape as number[], numBytes, file, offset: dataStart + begin };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function checkOverlap(infos: readonly StoredTensor[], path: string): void {
  const sorted = infos.filter((info) => info.numBytes > 0).sort((a, b) => a.offset - b.offset);
  for (let i = 1; i < sorted.length; i++) {
    const [before, after] = [sorted[i - 1]!, sorted[i]!];
    if (before.offset + before.numBytes > after.offset) {
      throw invalid(
        path,
        `expected separate bytes for each tensor, got ${before.name} overlapping ${after.name}; ${REFETCH}`,
        {
          tensors: [before.name, after.name],
        },
      );
    }
  }
}
