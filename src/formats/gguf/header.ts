/**
 * @file The header of a GGUF file (versions 2 and 3, little endian): metadata, and where each tensor lies. Everything is
 * checked against the size of the file before memory is taken for it.
 */
import { TurboQuantError } from "../../errors.ts";
import type { FileSource } from "../file-source.ts";
import { TextList } from "../text-list.ts";
import { Cursor, Damage, type GgufValue, MoreBytes } from "./cursor.ts";
import { type GgufType, ggufType, readTypes, typeName } from "./types.ts";

const MAGIC = 0x46554747;
/** Bytes of the first read. Of a header that is longer, four times as many. */
const FIRST_BYTES = 1 << 20;
/**
 * Room for a header; a longer one gets the room for the longest. What is not written takes no memory, and an allocator gives one of more than
 * 32 MiB back to the system at once, and may keep smaller ones.
 */
const ROOM_BYTES = 33 << 20;
/** The longest header that is read. Vocabularies take some ten megabytes, the largest that we know 20. */
const MAX_HEADER_BYTES = 64 << 20;
const MAX_KEYS = 100_000;
const MAX_TENSORS = 200_000;
const MAX_DIMS = 4;
/** As ggml has it. */
const MAX_NAME = 64;
const DEFAULT_ALIGNMENT = 32;

export interface GgufTensor {
  readonly name: string;
  readonly type: GgufType;
  /** Outermost dimension first, as in Transformers; the file lists them innermost first. */
  readonly shape: readonly number[];
  readonly numBytes: number;
  /** Byte offset from the beginning of the file. */
  readonly offset: number;
  readonly file: string;
}

export interface GgufHeader {
  readonly file: string;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
}

/** @throws TurboQuantError invalid_file — no GGUF, truncated or contradictory; unsupported — a version or type we do not read */
export async function readGgufHeader(source: FileSource, file: string): Promise<GgufHeader> {
  const size = await source.size(file);
  const where = `${source.name}/${file}`;
  let room = new Uint8Array(Math.min(size, ROOM_BYTES));
  for (let length = Math.min(size, FIRST_BYTES), done = 0; ; length = Math.min(size, length * 4)) {
    if (length > room.length) {
      const larger = new Uint8Array(length);
      larger.set(room.subarray(0, done));
      room = larger;
    }
    const into = room.subarray(done, length);
    const bytes = await source.read(file, done, length, { into });
    if (bytes.buffer !== into.buffer) into.set(bytes);
    done = length;
    const cursor = new Cursor(room.subarray(0, length), size);
    try {
      const header = parse(cursor, file, where, size);
      return { ...header, metadata: textsOver(header.metadata, room.slice(0, cursor.at)) };
    } catch (error) {
      if (error instanceof Damage) throw damaged(where, error.message);
      if (!(error instanceof MoreBytes)) throw error;
      if (length === size)
        throw damaged(where, `the file is truncated: its header goes on beyond its end at ${size} bytes`);
      if (length >= MAX_HEADER_BYTES) {
        throw damaged(where, `expected a header of at most ${MAX_HEADER_BYTES} bytes, got a larger one`);
      }
    }
  }
}

/** Lists of texts keep the bytes that they lie in, which shall be those of the header and not all that there was room for. */
function textsOver(metadata: GgufHeader["metadata"], bytes: Uint8Array): GgufHeader["metadata"] {
  const own = (value: GgufValue): GgufValue => (value instanceof TextList ? value.over(bytes) : value);
  return new Map(Array.from(metadata, ([key, value]) => [key, own(value)]));
}

function damaged(where: string, what: string, context: Record<string, unknown> = {}): TurboQuantError {
  return new TurboQuantError("invalid_file", `${where}: ${what}; copy or download it again`, context);
}

function parse(cursor: Cursor, file: string, where: string, size: number): GgufHeader {
  checkVersion(cursor, where, size);
  const numTensors = cursor.count("number of tensors", 32);
  const numKeys = cursor.count("number of keys", 13);
  if (numTensors > MAX_TENSORS)
    throw new Damage(`expected at most ${MAX_TENSORS} tensors, got a count of ${numTensors}`);
  if (numKeys > MAX_KEYS) throw new Damage(`expected at most ${MAX_KEYS} keys, got a count of ${numKeys}`);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < numKeys; i++) {
    const key = cursor.string("a key");
    if (metadata.has(key)) throw new Damage(`the key ${key} is there twice`);
    metadata.set(key, cursor.value(key));
  }
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  if (
    typeof alignment !== "number" ||
    alignment < 1 ||
    alignment > 1 << 20 ||
    !Number.isInteger(Math.log2(alignment))
  ) {
    throw new Damage(`general.alignment: expected a power of two up to ${1 << 20}, got ${alignment}`);
  }
  const stored = Array.from({ length: numTensors }, () => readTensor(cursor, where));
  const start = Math.ceil(cursor.at / alignment) * alignment;
  const tensors = stored.map((tensor) => placed(tensor, start, alignment, size, file));
  checkOverlap(tensors);
  return { file, metadata, tensors };
}

function checkVersion(cursor: Cursor, where: string, size: number): void {
  if (size < 24 || cursor.u32() !== MAGIC) {
    throw new TurboQuantError(
      "invalid_file",
      `${where}: expected a GGUF file, got one without its magic number (a format from before GGUF, a download page or a damaged file); convert or download it again`,
    );
  }
  const version = cursor.u32();
  if (version === 2 || version === 3) return;
  const isSwapped = version % 65536 === 0 && version !== 0;
  throw new TurboQuantError(
    "unsupported",
    isSwapped
      ? `${where}: expected little-endian GGUF, got a big-endian file; download the little-endian one`
      : `${where}: expected GGUF version 2 or 3, got version ${version}; convert the model again with a recent llama.cpp`,
    { version },
  );
}

interface StoredTensor {
  readonly name: string;
  readonly type: GgufType;
  readonly shape: readonly number[];
  readonly numBytes: number;
  readonly offset: number | bigint;
}

function readTensor(cursor: Cursor, where: string): StoredTensor {
  const name = cursor.string("name of a tensor");
  if (name.length === 0 || name.length > MAX_NAME)
    throw new Damage(`expected names of tensors of 1 to ${MAX_NAME} bytes, got ${JSON.stringify(name.slice(0, 80))}`);
  const numDims = cursor.u32();
  if (numDims > MAX_DIMS) throw new Damage(`${name}: expected at most ${MAX_DIMS} dimensions, got ${numDims}`);
  const dims = Array.from({ length: numDims }, () => cursor.u64());
  const number = cursor.u32();
  const offset = cursor.u64();
  let count = 1;
  for (const dim of dims) {
    if (typeof dim !== "number" || dim < 1 || dim > 2 ** 32) {
      throw new Damage(`${name}: expected dimensions from 1 to 2^32, got [${dims.join(", ")}]`);
    }
    count *= dim;
  }
  const type = ggufType(number);
  if (!type?.format) {
    throw new TurboQuantError(
      "unsupported",
      `${where}: ${name}: expected a type of ${readTypes().join(", ")}, got ${typeName(number)}; choose another quantization of this model`,
      { tensor: name, type: type?.name ?? number },
    );
  }
  const cols = Number(dims[0] ?? 1);
  if (cols % type.values !== 0) {
    throw new Damage(`${name}: expected rows of whole blocks of ${type.values} values for ${type.name}, got ${cols}`);
  }
  const shape = dims.map(Number).reverse();
  // Outer dimensions of 1 say nothing: a vector may be listed as [n, 1].
  while (shape.length > 1 && shape[0] === 1) shape.shift();
  return { name, type, shape, numBytes: (count / type.values) * type.bytes, offset };
}

function placed(tensor: StoredTensor, start: number, alignment: number, size: number, file: string): GgufTensor {
  const { name, offset, numBytes } = tensor;
  const at = Number(offset);
  if (at % alignment !== 0)
    throw new Damage(`${name}: expected an offset that is a multiple of ${alignment}, got ${offset}`);
  if (start + at + numBytes > size) {
    throw new Damage(
      `${name}: its ${numBytes} bytes at offset ${offset} end beyond the end of the file at ${size}; the file is truncated or its offsets are wrong`,
    );
  }
  return { ...tensor, offset: start + at, file };
}

function checkOverlap(tensors: readonly GgufTensor[]): void {
  const names = new Set<string>();
  let before: GgufTensor | undefined;
  for (const tensor of tensors.toSorted((a, b) => a.offset - b.offset)) {
    if (names.has(tensor.name)) throw new Damage(`the tensor ${tensor.name} is there twice`);
    names.add(tensor.name);
    if (before && before.offset + before.numBytes > tensor.offset) {
      throw new Damage(`the tensors ${before.name} and ${tensor.name} overlap`);
    }
    before = tensor;
  }
}
