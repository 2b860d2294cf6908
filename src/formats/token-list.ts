/**
 * @file A vocabulary as a table of bytes: texts by their ids, and ids by their texts. As strings and entries of a map, hundreds of
 * thousands of tokens take longer than the weights of a small model.
 */
import { type TextList, textOf } from "./text-list.ts";

const ENCODER = new TextEncoder();
/** Another one in each process, so that no file can be made whose tokens all collide. */
const SEED = (Math.random() * 2 ** 32) | 0;
/** Longer texts get memory of their own to be looked up with. */
const ROOM_BYTES = 4096;

export class TokenList {
  readonly #bytes: Uint8Array;
  /** Where each token begins, which is where the one before it ends. */
  readonly #starts: Uint32Array;
  /** Ids + 1 by the hash of their texts; 0 where none is. */
  readonly #slots: Int32Array;
  /** Ids of tokens whose text a later one has as well. */
  readonly repeated: readonly number[];
  readonly #room = new Uint8Array(ROOM_BYTES);

  constructor({ bytes, starts, ends, length }: TextList) {
    let total = 0;
    for (let id = 0; id < length; id++) total += ends[id]! - starts[id]!;
    const own = new Uint8Array(total);
    this.#bytes = own;
    this.#starts = new Uint32Array(length + 1);
    this.#slots = new Int32Array(1 << (32 - Math.clz32(Math.max(4, length * 2))));
    const repeated: number[] = [];
    for (let id = 0, to = 0; id < length; id++) {
      const start = to;
      for (let at = starts[id]!; at < ends[id]!; at++) own[to++] = bytes[at]!;
      this.#starts[id + 1] = to;
      const slot = this.#slot(own, start, to);
      if (this.#slots[slot] !== 0) repeated.push(this.#slots[slot]! - 1);
      this.#slots[slot] = id + 1;
    }
    this.repeated = repeated;
  }

  /** Largest id + 1. */
  get length(): number {
    return this.#starts.length - 1;
  }

  /** Bytes of all texts, one after the other, and the ranges of them. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }
  start(id: number): number {
    return this.#starts[id]!;
  }
  end(id: number): number {
    return this.#starts[id + 1]!;
  }

  /** id: below `length` */
  text(id: number): string {
    return textOf(this.#bytes, this.start(id), this.end(id));
  }

  /** The id of a token, of several with this text the last one; -1 where there is none. */
  find(text: string): number {
    const room = text.length * 3 > ROOM_BYTES ? new Uint8Array(text.length * 3) : this.#room;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return this.findBytes(room, 0, ENCODER.encodeInto(text, room).written);
      room[i] = unit;
    }
    return this.findBytes(room, 0, text.length);
  }

  /** As `find`, of bytes [start, end). */
  findBytes(bytes: Uint8Array, start: number, end: number): number {
    return this.#slots[this.#slot(bytes, start, end)]! - 1;
  }

  /** As `find`, of the texts of two tokens one behind the other. */
  findJoined(left: number, right: number): number {
    const [middle, length] = [this.end(left) - this.start(left), this.end(right) - this.start(right)];
    const room = middle + length > ROOM_BYTES ? new Uint8Array(middle + length) : this.#room;
    const bytes = this.#bytes;
    for (let i = 0, at = this.start(left); i < middle; i++) room[i] = bytes[at++]!;
    for (let i = 0, at = this.start(right); i < length; i++) room[middle + i] = bytes[at++]!;
    return this.findBytes(room, 0, middle + length);
  }

  /** The last token with the same text as this one. */
  lastLike(id: number): number {
    return this.repeated.length === 0 ? id : this.findBytes(this.#bytes, this.start(id), this.end(id));
  }

  /** All tokens with this text, the smallest id first. */
  idsOf(text: string): number[] {
    const last = this.find(text);
    if (last < 0) return [];
    const length = this.end(last) - this.start(last);
    const isLike = (id: number): boolean => this.end(id) - this.start(id) === length && this.lastLike(id) === last;
    return [...this.repeated.filter(isLike).sort((a, b) => a - b), last];
  }

  /** The most UTF-16 units of a text. */
  get longest(): number {
    let most = 0;
    for (let id = 0; id < this.length; id++) {
      let units = 0;
      for (let at = this.start(id); at < this.end(id); at++) {
        const byte = this.#bytes[at]!;
        if (byte < 0x80 || byte >= 0xc0) units += byte >= 0xf0 ? 2 : 1;
      }
      most = Math.max(most, units);
    }
    return most;
  }

  /** What stands in a tokenizer.json. */
  toJSON(): Record<string, number> {
    return Object.fromEntries(Array.from({ length: this.length }, (_, id) => [this.text(id), id]));
  }

  /** Where the text is in the table, or would be. */
  #slot(bytes: Uint8Array, start: number, end: number): number {
    let hash = SEED;
    for (let at = start; at < end; at++) {
      hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
      hash ^= hash >>> 15;
    }
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      if (slots[slot] === 0 || this.#is(slots[slot]! - 1, bytes, start, end)) return slot;
    }
  }

  #is(id: number, bytes: Uint8Array, start: number, end: number): boolean {
    let at = this.#starts[id]!;
    if (this.#starts[id + 1]! - at !== end - start) return false;
    for (let i = start; i < end; i++) if (this.#bytes[at++] !== bytes[i]) return false;
    return true;
  }
}
