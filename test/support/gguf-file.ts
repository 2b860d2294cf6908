/** @file Writes GGUF files in memory, right ones and wrong ones. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */

export type Written =
  | { readonly u32: number }
  | { readonly u64: bigint }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly i32s: readonly number[] }
  | { readonly f32s: readonly number[] };

export interface WrittenTensor {
  readonly name: string;
  /** ggml's number of the type. */
  readonly type: number;
  /** Outermost first. */
  readonly shape: readonly (number | bigint)[];
  readonly data: Uint8Array;
  /** In the place of the right one. */
  readonly offset?: number;
}

export interface GgufFile {
  readonly metadata: readonly (readonly [key: string, value: Written])[];
  readonly tensors?: readonly WrittenTensor[];
  readonly version?: number;
  readonly magic?: string;
  /** In the place of the right ones. */
  readonly counts?: { readonly tensors?: bigint; readonly keys?: bigint };
  readonly alignment?: number;
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

export function writeGguf(file: GgufFile): Uint8Array {
  const { metadata, tensors = [], alignment = 32 } = file;
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
    offset = Math.ceil((offset + tensor.data.length) / alignment) * alignment;
  }
  bytes.pad(alignment);
  for (const { data } of tensors) {
    bytes.raw(data);
    bytes.pad(alignment);
  }
  return bytes.joined();
}
