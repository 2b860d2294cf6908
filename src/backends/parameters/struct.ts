/**
 * @file Blocks of numbers that the host writes and kernels read, each declared once.
 *
 * A declaration is plain data: names of fields and their types, one after the other without gaps. The TypeScript side writes
 * a block through its `Struct`; `npm run build:kernels` makes the offsets that AssemblyScript reads from the same one, and a
 * WebGPU kernel gets its WGSL struct from it.
 */
import { assert } from "../../errors.ts";

export type WordType = "u32" | "i32" | "f32";

/** A word; so many words; a block in the block; so many bytes that are not written by name. */
export type Field = WordType | readonly [WordType, number] | Struct | { readonly numBytes: number };
export type Fields = Readonly<Record<string, Field>>;

type ValueOf<F extends Field> =
  F extends Struct<infer Inner>
    ? Values<Inner>
    : F extends readonly [WordType, number]
      ? readonly number[]
      : F extends WordType
        ? number
        : never;

type Named<F extends Fields> = {
  [K in keyof F as F[K] extends { readonly numBytes: number } ? (F[K] extends Struct ? K : never) : K]: F[K];
};
export type Values<F extends Fields> = { readonly [K in keyof Named<F>]: ValueOf<Named<F>[K]> };
/** What a block is written from. */
export type ValuesOf<S extends Struct> = S extends Struct<infer F> ? Values<F> : never;

/** Called by name rather than through a table: blocks are written several times a layer and step. */
function setWord(view: DataView, at: number, type: WordType, value: number): void {
  if (type === "f32") view.setFloat32(at, value, true);
  else if (type === "i32") view.setInt32(at, value, true);
  else view.setUint32(at, value, true);
}

const isWord = (field: Field): field is WordType => typeof field === "string";
// `Array.isArray` does not narrow to a readonly array.
const isWords = (field: Field): field is readonly [WordType, number] => Array.isArray(field);

function bytesOf(field: Field): number {
  if (isWord(field)) return 4;
  return isWords(field) ? 4 * field[1] : field.numBytes;
}

export class Struct<F extends Fields = Fields> {
  readonly fields: F;
  /** Bytes from the block's beginning to each field. */
  readonly offsets: { readonly [K in keyof F]: number };
  /** The same in words, for records so many that each word is stored by itself. */
  readonly words: { readonly [K in keyof F]: number };
  readonly numBytes: number;

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
  }

  /** Writes every field, little endian, at `base`. */
  write(view: DataView, base: number, values: Values<F>): void {
    this.patch(view, base, values as Partial<Values<F>>);
  }

  /** Writes the fields that are given and leaves the others as they are. */
  patch(view: DataView, base: number, values: Partial<Values<F>>): void {
    for (const name in values) {
      const field = this.fields[name as string] as Field;
      const at = base + this.offsets[name as string as keyof F];
      const value = values[name] as number | readonly number[] | Values<Fields>;
      if (isWord(field)) setWord(view, at, field, value as number);
      else if (isWords(field)) {
        const [type, count] = field;
        const list = value as readonly number[];
        assert(list.length === count, `parameter block: ${String(name)} has ${count} values, got ${list.length}`);
        for (let i = 0; i < count; i++) setWord(view, at + 4 * i, type, list[i]!);
      } else (field as Struct).patch(view, at, value as Values<Fields>);
    }
  }
}
