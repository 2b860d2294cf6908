/**
 * @file Parameter blocks of dispatches: slots of one uniform buffer, found again by their content. A layer that runs with the
 * same numbers as before uploads nothing.
 */
import type { Fields, Struct, Values } from "../../parameters/struct.ts";
import { BufferUsage } from "../device/gpu-flags.ts";

/** Bytes of the uniform block of one dispatch, which is also an alignment of dynamic offsets that every adapter accepts. */
export const PARAM_BYTES = 256;
const WORDS = PARAM_BYTES / 4;
const SLOTS = 4096;
/** Places of the hash table, a power of two: a quarter of them is taken at most. */
const PLACES = 4 * SLOTS;

/** Of the words as 32-bit numbers; the bits are mixed at the end, as floats have zeros where a table looks. */
function hashOf(words: Uint32Array, count: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < count; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  return hash ^ (hash >>> 15);
}

export class Uniforms {
  readonly #device: GPUDevice;
  readonly #onFull: () => void;
  readonly buffer: GPUBuffer;
  readonly #words = new Uint32Array(WORDS);
  readonly #view = new DataView(this.#words.buffer);
  readonly #staged = new Uint32Array(SLOTS * WORDS);
  /** By the hash of their content: slots, counted from 1. */
  readonly #places = new Uint16Array(PLACES);
  #used = 0;
  #uploaded = 0;

  /** onFull: submits what uses the slots, which are then used anew */
  constructor(device: GPUDevice, onFull: () => void) {
    this.#device = device;
    this.#onFull = onFull;
    this.buffer = device.createBuffer({
      label: "parameters",
      size: SLOTS * PARAM_BYTES,
      usage: BufferUsage.uniform | BufferUsage.copyDst,
    });
  }

  /** Offset in the buffer, in bytes, of the block with these values. */
  offsetOf(block: Struct, values: Values<Fields>): number {
    block.write(this.#view, 0, values);
    const count = block.numBytes / 4;
    let place = hashOf(this.#words, count) & (PLACES - 1);
    for (let slot = 0; (slot = this.#places[place]!) !== 0; place = (place + 1) & (PLACES - 1)) {
      if (this.#holds(slot - 1, count)) return (slot - 1) * PARAM_BYTES;
    }
    if (this.#used === SLOTS) {
      this.#onFull();
      this.#places.fill(0);
      this.#used = 0;
      this.#uploaded = 0;
      place = hashOf(this.#words, count) & (PLACES - 1);
    }
    const slot = this.#used++;
    this.#places[place] = slot + 1;
    for (let i = 0; i < count; i++) this.#staged[slot * WORDS + i] = this.#words[i]!;
    return slot * PARAM_BYTES;
  }

  /** Sends the slots that are new since the last call. */
  upload(): void {
    if (this.#used === this.#uploaded) return;
    this.#device.queue.writeBuffer(
      this.buffer,
      this.#uploaded * PARAM_BYTES,
      this.#staged,
      this.#uploaded * WORDS,
      (this.#used - this.#uploaded) * WORDS,
    );
    this.#uploaded = this.#used;
  }

  /** Whether the first words of a slot are those at hand. What lies behind them is no part of the kernel's block. */
  #holds(slot: number, count: number): boolean {
    const at = slot * WORDS;
    for (let i = 0; i < count; i++) if (this.#staged[at + i] !== this.#words[i]) return false;
    return true;
  }
}
