/** @file A block of WASM memory that is reused, and grows when more is needed. */
import type { WasmMemory } from "./memory.ts";

/**
 * Bytes to allocate when `numBytes` are needed: half as much again, so
 * that a sequence which grows by a token does not move it in every step.
 */
export const scratchBytes = (numBytes: number): number => Math.ceil(numBytes * 1.5);

export class ScratchBuffer {
  readonly #memory: WasmMemory;
  #address = 0;
  #numBytes = 0;

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  /** An address with room for `numBytes`; earlier content may be lost. */
  ensure(numBytes: number): number {
    if (numBytes > this.#numBytes) {
      if (this.#address) this.#memory.heap.free(this.#address, this.#numBytes);
      this.#numBytes = scratchBytes(numBytes);
      this.#address = this.#memory.heap.allocate(this.#numBytes, "a buffer of the KV kernels").address;
    }
    return this.#address;
  }
}
