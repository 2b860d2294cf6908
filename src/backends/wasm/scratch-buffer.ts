/** @file A block of WASM memory that grows when more is asked for and is reused otherwise. */
import type { WasmMemory } from "./memory.ts";

/** What a buffer takes that was asked for `numBytes`: half as much again, so that a sequence that grows by a token does not move it every step. */
export const scratchBytes = (numBytes: number): number => Math.ceil(numBytes * 1.5);

export class ScratchBuffer {
  readonly #memory: WasmMemory;
  #address = 0;
  #numBytes = 0;

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  /** An address with room for `numBytes`; what was there before may be gone. */
  ensure(numBytes: number): number {
    if (numBytes > this.#numBytes) {
      if (this.#address) this.#memory.heap.free(this.#address, this.#numBytes);
      this.#numBytes = scratchBytes(numBytes);
      this.#address = this.#memory.heap.allocate(this.#numBytes, "a buffer of the KV kernels").address;
    }
    return this.#address;
  }
}
