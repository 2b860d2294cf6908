/**
 * @file Writes GGUF files, right ones and wrong ones: in memory, or tensor by tensor to a file of any size.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { open, rename } from "node:fs/promises";

export type Written =
  | { readonly u32: number }
  | { readonly u64: bigint }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly i32s: readonly number[] }
  | { readonly bools: readonly boolean[] }
  | { readonly f32s: readonly number[] };

interface NamedTensor {
  readonly name: string;
  /** ggml's number of the type. */
  readonly type: number;
  /** Outermost first. */
  readonly shape: readonly (number | bigint)[];
  /** In the place of the right one. */
  readonly offset?: number;
}

export interface WrittenTensor extends NamedTensor {
  readonly data: Uint8Array;
}

/** A tensor that is made while it is written. */
export interface StreamedTensor extends NamedTensor {
  readonly numBytes: number;
  /** Its bytes in pieces; together `numBytes` long. */
  pieces(): Iterable<Uint8Array>;
}

interface Header {
  readonly metadata: readonly (readonly [key: string, value: Written])[];
  readonly version?: number;
  readonly magic?: string;
  /** In the place of the right ones. */
  readonly counts?: { readonly tensors?: bigint; readonly keys?: bigint };
  readonly alignment?: number;
}

export interface GgufFile extends Header {
  readonly tensors?: readonly WrittenTensor[];
}

class Bytes {
  readonly #parts: Uint8Array[] = [];
  length = 0;

  raw(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.length += bytes.length;
  }

  number(bytes: number, write: (view: DataView) => void): void {
    const view = new DataView(new ArrayBuffer(bytes));
    write(view);
    this.raw(new Uint8Array(view.buffer));
  }

  u32 = (value: number): void => this.number(4, (view) => view.setUint32(0, value, true));
  i32 = (value: number): void => this.number(4, (view) => view.setInt32(0, value, true));
  u64 = (value: number | bigint): void => this.number(8, (view) => view.setBigUint64(0, BigInt(value), true));
  f32 = (value: number): void => this.number(4, (view) => view.setFloat32(0, value, true));

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.raw(bytes);
  }

  array<T>(type: number, values: readonly T[], write: (value: T) => void): void {
    this.u32(9);
    this.u32(type);
    this.u64(values.length);
    for (const value of values) write(value);
  }

  value(value: Written): void {
    if ("u32" in value) this.typed(4, () => this.u32(value.u32));
    else if ("u64" in value) this.typed(10, () => this.u64(value.u64));
    else if ("f32" in value) this.typed(6, () => this.f32(value.f32));
    else if ("bool" in value) this.typed(7, () => this.raw(Uint8Array.of(value.bool ? 1 : 0)));
    else if ("string" in value) this.typed(8, () => this.string(value.string));
    else if ("strings" in value) this.array(8, value.strings, (text) => this.string(text));
    else if ("i32s" in value) this.array(5, value.i32s, this.i32);
    else if ("bools" in value) this.array(7, value.bools, (is) => this.raw(Uint8Array.of(is ? 1 : 0)));
    else this.array(6, value.f32s, this.f32);
  }

  typed(type: number, write: () => void): void {
    this.u32(type);
    write();
  }

  pad(alignment: number): void {
    this.raw(new Uint8Array((alignment - (this.length % alignment)) % alignment));
  }

  joined(): Uint8Array {
    const out = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

const DEFAULT_ALIGNMENT = 32;

/** Everything before the tensors' bytes. */
function header(file: Header, tensors: readonly (NamedTensor & { readonly numBytes: number })[]): Bytes {
  const { metadata, alignment = DEFAULT_ALIGNMENT } = file;
  const bytes = new Bytes();
  bytes.raw(new TextEncoder().encode(file.magic ?? "GGUF"));
  bytes.u32(file.version ?? 3);
  bytes.u64(file.counts?.tensors ?? tensors.length);
  bytes.u64(file.counts?.keys ?? metadata.length);
  for (const [key, value] of metadata) {
    bytes.string(key);
    bytes.value(value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    bytes.string(tensor.name);
    bytes.u32(tensor.shape.length);
    for (const dim of tensor.shape.toReversed()) bytes.u64(dim);
    bytes.u32(tensor.type);
    bytes.u64(tensor.offset ?? offset);
    offset = Math.ceil((offset + tensor.numBytes) / alignment) * alignment;
  }
  bytes.pad(alignment);
  return bytes;
}

export function writeGguf(file: GgufFile): Uint8Array {
  const { tensors = [], alignment = DEFAULT_ALIGNMENT } = file;
  const bytes = header(
    file,
    tensors.map((tensor) => ({ ...tensor, numBytes: tensor.data.length })),
  );
  for (const { data } of tensors) {
    bytes.raw(data);
    bytes.pad(alignment);
  }
  return bytes.joined();
}

/** Writes beside `path` and renames at the end, so that a file of that name is whole. */
export async function streamGguf(
  path: string,
  file: Header & { readonly tensors: readonly StreamedTensor[] },
): Promise<void> {
  const { tensors, alignment = DEFAULT_ALIGNMENT } = file;
  const partial = `${path}.partial`;
  const handle = await open(partial, "w");
  try {
    await handle.writeFile(header(file, tensors).joined());
    for (const { name, numBytes, pieces } of tensors) {
      let length = 0;
      for (const piece of pieces()) {
        await handle.writeFile(piece);
        length += piece.length;
      }
      if (length !== numBytes) throw new Error(`gguf: ${name}: expected ${numBytes} bytes, got ${length}`);
      await handle.writeFile(new Uint8Array((alignment - (length % alignment)) % alignment));
    }
  } finally {
    await handle.close();
  }
  await rename(partial, path);
}
