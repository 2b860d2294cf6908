/**
 * @file Blocks of numbers that the host writes and kernels read, each declared once.
 *
 * A declaration is plain data: names of fields and their types, one after the other without gaps. The TypeScript side writes
 * a block through its `Struct`; `npm run build:kernels` makes the offsets that AssemblyScript reads from the same one, and the
 * text of a WebGPU kernel gets its `struct Params` from it (src/backends/webgpu/queue/params-text.ts).
 */
import { assert } from "../../errors.ts";

export type WordType = "u32" | "i32" | "f32";

/**
 * A word, or a word and the comment that its WGSL has; so many words;
 * a block in the block; so many bytes that are not written by name.
 */
export type Field =
  | WordType
  | readonly [type: WordType, comment: string]
  | readonly [type: WordType, count: number]
  | Struct
  | { readonly numBytes: number };
export type Fields = Readonly<Record<string, Field>>;

type ValueOf<F extends Field> =
  F extends Struct<infer Inner>
    ? Values<Inner>
    : F extends readonly [WordType, number]
      ? readonly number[]
      : F extends WordType | readonly [WordType, string]
        ? number
        : never;

type Named<F extends Fields> = {
  [K in keyof F as F[K] extends { readonly numBytes: number } ? (F[K] extends Struct ? K : never) : K]: F[K];
};
export type Values<F extends Fields> = { readonly [K in keyof Named<F>]: ValueOf<Named<F>[K]> };
/** The values a block is written from. */
export type ValuesOf<S extends Struct> = S extends Struct<infer F> ? Values<F> : never;

/** What a field is, whichever way it was declared. A word has a count of 0. */
export interface Words {
  readonly type: WordType;
  readonly count: number;
  readonly comment?: string;
}

/** Null for a block in the block and for bytes without a name. */
export function wordsOf(field: Field): Words | null {
  if (typeof field === "string") return { type: field, count: 0 };
  // `Array.isArray` does not narrow to a readonly array.
  if (!Array.isArray(field)) return null;
  const [type, more] = field as readonly [WordType, string | number];
  return typeof more === "string" ? { type, count: 0, comment: more } : { type, count: more };
}

function bytesOf(field: Field): number {
  const words = wordsOf(field);
  return words ? 4 * Math.max(1, words.count) : (field as { readonly numBytes: number }).numBytes;
}

interface Writer {
  readonly name: string;
  /** The bytes of a word are the same with and without a sign. */
  readonly kind: "int32" | "float32" | "int32s" | "float32s" | "struct";
  readonly offset: number;
  /** Values of a list. */
  readonly count: number;
  readonly struct: Struct | null;
}

function writerOf(name: string, field: Field, offset: number): Writer {
  const words = wordsOf(field);
  if (!words) return { name, kind: "struct", offset, count: 0, struct: field as Struct };
  const { type, count } = words;
  const kind = type === "f32" ? "float32" : "int32";
  return { name, kind: count > 0 ? `${kind}s` : kind, offset, count, struct: null };
}

/** What a field is written from. */
type Value = number | readonly number[] | Values<Fields>;

export class Struct<F extends Fields = Fields> {
  readonly fields: F;
  /** Byte offset of each field. */
  readonly offsets: { readonly [K in keyof F]: number };
  /** Word offset of each field, for records that are so many that each word is stored individually. */
  readonly words: { readonly [K in keyof F]: number };
  readonly numBytes: number;
  /** How each field with a name is written, in order. */
  readonly #writers: readonly Writer[];

  constructor(fields: F) {
    const offsets: Record<string, number> = {};
    let at = 0;
    for (const [name, field] of Object.entries(fields)) {
      offsets[name] = at;
      at += bytesOf(field);
    }
    assert(at % 4 === 0, "parameter block: a number of bytes that is no multiple of a word");
    this.fields = fields;
    this.offsets = offsets as { [K in keyof F]: number };
    this.words = Object.fromEntries(Object.entries(offsets).map(([name, offset]) => [name, offset / 4])) as {
      [K in keyof F]: number;
    };
    this.numBytes = at;
    this.#writers = Object.entries(fields)
      .filter(([, field]) => field instanceof Struct || wordsOf(field))
      .map(([name, field]) => writerOf(name, field, offsets[name]!));
  }

  /**
   * Writes every field, little endian, at `base`. Blocks are written several times in each layer of a step, and engines read what a
   * `for … in` names several times as fast as what a variable does; so values that are named in the order of the fields take less time.
   */
  write(view: DataView, base: number, values: Values<F>): void {
    const writers = this.#writers;
    const given = values as Readonly<Record<string, Value>>;
    let i = 0;
    for (const key in given) {
      const writer = writers[i++];
      if (writer?.name !== key) {
        this.#writeByName(view, base, given);
        return;
      }
      this.#writeField(view, base, writer, given[key]!);
    }
    if (i < writers.length) this.#writeByName(view, base, given);
  }

  #writeByName(view: DataView, base: number, given: Readonly<Record<string, Value>>): void {
    for (const writer of this.#writers) this.#writeField(view, base, writer, given[writer.name]!);
  }

  #writeField(view: DataView, base: number, { name, kind, offset, count, struct }: Writer, value: Value): void {
    const at = base + offset;
    if (kind === "int32") {
      view.setInt32(at, value as number, true);
    } else if (kind === "float32") {
      view.setFloat32(at, value as number, true);
    } else if (kind === "struct") {
      struct!.write(view, at, value as Values<Fields>);
    } else {
      const list = value as readonly number[];
      assert(list.length === count, `parameter block: ${name} has ${count} values, got ${list.length}`);
      for (let i = 0; i < count; i++) {
        if (kind === "float32s") view.setFloat32(at + 4 * i, list[i]!, true);
        else view.setInt32(at + 4 * i, list[i]!, true);
      }
    }
  }
}
