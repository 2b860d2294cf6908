/** @file Reads the little-endian values of a GGUF header out of the first bytes of a file, refusing lengths that lie. */
import { TextList, textOf } from "../text-list.ts";

/** Metadata value types by number in the specification of GGUF: u8 i8 u16 i16 u32 i32 f32 bool string array u64 i64 f64. */
const STRING = 8;
const ARRAY = 9;
const SIZES = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8];
/** The most entries of all arrays of a header together. A vocabulary has some 300,000 tokens with types and scores, and twice as many merges. */
const MAX_ELEMENTS = 1 << 21;
const MAX_STRING_BYTES = 10 << 20;
const MAX_NESTING = 4;

/** Integers beyond 2^53 stay bigint. */
export type GgufValue = number | bigint | boolean | string | TextList | readonly GgufValue[];

/** Thrown when the bytes read so far end before the header does, while the file has more. */
export class MoreBytes extends Error {}

/** Thrown when a header contradicts itself or the size of its file. */
export class Damage extends Error {}

export class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fileSize: number;
  #at = 0;
  #elements = 0;

  /** bytes: the beginning of a file of `fileSize` bytes */
  constructor(bytes: Uint8Array, fileSize: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fileSize = fileSize;
  }

  get at(): number {
    return this.#at;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** A 64-bit count or size. @throws Damage — it cannot be one of this file, as each of what it counts takes `each` bytes */
  count(what: string, each: number): number {
    const at = this.#take(8);
    const low = this.#view.getUint32(at, true);
    if (this.#view.getUint32(at + 4, true) === 0 && low * Math.max(1, each) <= this.#fileSize) return low;
    const value = this.#view.getBigUint64(at, true);
    if (value * BigInt(Math.max(1, each)) > BigInt(this.#fileSize)) {
      throw new Damage(`${what}: the count ${value} is beyond what a file of ${this.#fileSize} bytes can hold`);
    }
    return Number(value);
  }

  u64(): number | bigint {
    return narrow(this.#view.getBigUint64(this.#take(8), true));
  }

  string(what: string): string {
    const start = this.#string(what);
    return textOf(this.#bytes, start, this.#at);
  }

  /** Goes to the end of a string. returns: where it begins */
  #string(what: string): number {
    const length = this.count(`${what}: length of a string`, 1);
    if (length > MAX_STRING_BYTES) {
      throw new Damage(`${what}: expected a string of at most ${MAX_STRING_BYTES} bytes, got a length of ${length}`);
    }
    return this.#take(length);
  }

  /** key: for messages */
  value(key: string, type = this.u32(), depth = 0): GgufValue {
    switch (type) {
      case 0:
        return this.#view.getUint8(this.#take(1));
      case 1:
        return this.#view.getInt8(this.#take(1));
      case 2:
        return this.#view.getUint16(this.#take(2), true);
      case 3:
        return this.#view.getInt16(this.#take(2), true);
      case 4:
        return this.u32();
      case 5:
        return this.#view.getInt32(this.#take(4), true);
      case 6:
        return this.#view.getFloat32(this.#take(4), true);
      case 7:
        return this.#view.getUint8(this.#take(1)) !== 0;
      case STRING:
        return this.string(key);
      case ARRAY:
        return this.#array(key, depth);
      case 10:
        return this.u64();
      case 11:
        return narrow(this.#view.getBigInt64(this.#take(8), true));
      case 12:
        return this.#view.getFloat64(this.#take(8), true);
      default:
        throw new Damage(`${key}: expected a value type from 0 to 12, got ${type}`);
    }
  }

  #array(key: string, depth: number): GgufValue {
    const type = this.u32();
    const size = SIZES[type];
    if (size === undefined) throw new Damage(`${key}: expected an array of a type from 0 to 12, got ${type}`);
    if (depth >= MAX_NESTING) throw new Damage(`${key}: expected arrays at most ${MAX_NESTING} deep, got more`);
    const length = this.count(`${key}: length of an array`, size);
    this.#elements += length;
    if (this.#elements > MAX_ELEMENTS) {
      throw new Damage(
        `${key}: expected at most ${MAX_ELEMENTS} elements in all arrays, got ${this.#elements} with the length of this one`,
      );
    }
    if (type === STRING) return this.#strings(key, length);
    const values: GgufValue[] = [];
    for (let i = 0; i < length; i++) values.push(this.value(key, type, depth + 1));
    return values;
  }

  #strings(key: string, length: number): TextList {
    const [starts, ends] = [new Uint32Array(length), new Uint32Array(length)];
    for (let i = 0; i < length; i++) {
      starts[i] = this.#string(key);
      ends[i] = this.#at;
    }
    return new TextList(this.#bytes, starts, ends);
  }

  #take(bytes: number): number {
    const start = this.#at;
    if (start + bytes > this.#bytes.length) throw new MoreBytes();
    this.#at = start + bytes;
    return start;
  }
}

const narrow = (value: bigint): number | bigint =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
