/**
 * @file Writes a GGUF v3 file tensor by tensor, so that its size does not matter. Only what the peer benchmark needs.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { open, rename } from "node:fs/promises";

const VERSION = 3;
/** Alignment of every tensor, GGUF's default. */
const ALIGNMENT = 32;

/** Value types of GGUF metadata. */
const TYPE = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;

export type GgufValue =
  | { readonly uint32: number }
  | { readonly float32: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly int32s: readonly number[] };

/** Tensor types by ggml's numbers, with the bytes of a block of values. */
export const TENSOR_TYPES = {
  f32: { id: 0, blockValues: 1, blockBytes: 4 },
  q8_0: { id: 8, blockValues: 32, blockBytes: 34 },
} as const;

export interface GgufTensor {
  readonly name: string;
  readonly type: keyof typeof TENSOR_TYPES;
  /** Fastest dimension first, as ggml counts: a weight of [rows][cols] is [cols, rows]. */
  readonly dimensions: readonly number[];
  /** Its bytes in pieces; together `tensorBytes` long. */
  data(): Iterable<Uint8Array>;
}

export function tensorBytes({ type, dimensions }: Pick<GgufTensor, "type" | "dimensions">): number {
  const { blockValues, blockBytes } = TENSOR_TYPES[type];
  return (dimensions.reduce((product, n) => product * n, 1) / blockValues) * blockBytes;
}

/** Little-endian bytes of growing length. */
class Bytes {
  #buffer = Buffer.alloc(1 << 20);
  #length = 0;

  #room(count: number): number {
    if (this.#length + count > this.#buffer.length) {
      const grown = Buffer.alloc(2 * (this.#length + count));
      this.#buffer.copy(grown);
      this.#buffer = grown;
    }
    this.#length += count;
    return this.#length - count;
  }
  u8(value: number): void {
    this.#buffer.writeUInt8(value, this.#room(1));
  }
  u32(value: number): void {
    this.#buffer.writeUInt32LE(value, this.#room(4));
  }
  i32(value: number): void {
    this.#buffer.writeInt32LE(value, this.#room(4));
  }
  f32(value: number): void {
    this.#buffer.writeFloatLE(value, this.#room(4));
  }
  u64(value: number): void {
    this.#buffer.writeBigUInt64LE(BigInt(value), this.#room(8));
  }
  string(text: string): void {
    const bytes = Buffer.from(text, "utf8");
    this.u64(bytes.length);
    bytes.copy(this.#buffer, this.#room(bytes.length));
  }
  align(): void {
    this.#room((ALIGNMENT - (this.#length % ALIGNMENT)) % ALIGNMENT);
  }
  get length(): number {
    return this.#length;
  }
  done(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }
}

function writeValue(out: Bytes, value: GgufValue): void {
  if ("uint32" in value) {
    out.u32(TYPE.uint32);
    out.u32(value.uint32);
  } else if ("float32" in value) {
    out.u32(TYPE.float32);
    out.f32(value.float32);
  } else if ("bool" in value) {
    out.u32(TYPE.bool);
    out.u8(value.bool ? 1 : 0);
  } else if ("string" in value) {
    out.u32(TYPE.string);
    out.string(value.string);
  } else if ("strings" in value) {
    out.u32(TYPE.array);
    out.u32(TYPE.string);
    out.u64(value.strings.length);
    for (const text of value.strings) out.string(text);
  } else {
    out.u32(TYPE.array);
    out.u32(TYPE.int32);
    out.u64(value.int32s.length);
    for (const number of value.int32s) out.i32(number);
  }
}

/** Everything before the tensors' bytes, and the offset of each tensor after it. */
function header(metadata: Readonly<Record<string, GgufValue>>, tensors: readonly GgufTensor[]): Buffer {
  const out = new Bytes();
  out.u32(Buffer.from("GGUF").readUInt32LE());
  out.u32(VERSION);
  out.u64(tensors.length);
  out.u64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    out.string(key);
    writeValue(out, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    out.string(tensor.name);
    out.u32(tensor.dimensions.length);
    for (const n of tensor.dimensions) out.u64(n);
    out.u32(TENSOR_TYPES[tensor.type].id);
    out.u64(offset);
    offset += Math.ceil(tensorBytes(tensor) / ALIGNMENT) * ALIGNMENT;
  }
  out.align();
  return out.done();
}

/** Writes beside `path` and renames at the end, so that a file of that name is whole. */
export async function writeGguf(
  path: string,
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: readonly GgufTensor[],
): Promise<void> {
  const partial = `${path}.partial`;
  const file = await open(partial, "w");
  try {
    await file.writeFile(header(metadata, tensors));
    for (const tensor of tensors) {
      let length = 0;
      for (const piece of tensor.data()) {
        await file.writeFile(piece);
        length += piece.length;
      }
      const expected = tensorBytes(tensor);
      if (length !== expected) throw new Error(`gguf: ${tensor.name}: expected ${expected} bytes, got ${length}`);
      await file.writeFile(new Uint8Array(Math.ceil(length / ALIGNMENT) * ALIGNMENT - length));
    }
  } finally {
    await file.close();
  }
  await rename(partial, path);
}
