/**
 * @file Allocates ranges of a growing linear memory.
 *
 * Best fit over free blocks, which are kept in address order and merged with their neighbours. There are few of them, because
 * weights are never freed individually and KV pages have their own lists (page-storage.ts). New memory is zero and is not
 * touched here, so resident memory follows actual use.
 */
import { assert, TurboQuantError } from "../../errors.ts";

/** Alignment of every allocation: a cache line. */
export const ALIGNMENT = 64;
/** Memory grows by at least this much, and by a quarter, since all threads are told. Pages that are never touched cost nothing. */
const GROWTH_BYTES = 4 << 20;

export interface GrowableMemory {
  readonly numBytes: number;
  /** The most bytes that the memory may ever have. */
  readonly limitBytes: number;
  /** Returns false when the engine refuses. */
  grow(numBytes: number): boolean;
}

export interface Allocation {
  readonly address: number;
  /** Number of leading bytes that may not be zero, because they were used before. */
  readonly dirtyBytes: number;
}

interface FreeBlock {
  address: number;
  numBytes: number;
}

export const alignUp = (n: number, alignment: number = ALIGNMENT): number => Math.ceil(n / alignment) * alignment;

export class Heap {
  readonly #memory: GrowableMemory;
  readonly #free: FreeBlock[] = [];
  /** No address from here to the end of memory is in use. */
  #top: number;
  /** No address from here on was ever used. */
  #untouched: number;
  #usedBytes = 0;
  /** Called before an allocation fails, to free memory; returns whether it freed any. */
  onPressure: () => boolean = () => false;

  constructor(memory: GrowableMemory, base: number) {
    this.#memory = memory;
    this.#top = alignUp(base);
    this.#untouched = this.#top;
  }

  /** Bytes allocated at present, rounded up to the alignment. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Free blocks below the top, for tests and diagnostics. */
  get freeBlocks(): readonly Readonly<FreeBlock>[] {
    return this.#free;
  }

  /**
   * alignment: multiple of ALIGNMENT that the address is one of; what is left out before it stays free
   * @throws TurboQuantError out_of_memory — the limit is reached or the engine refuses to grow; nothing changes
   */
  allocate(numBytes: number, purpose: string, alignment: number = ALIGNMENT): Allocation {
    assert(Number.isInteger(numBytes) && numBytes >= 0, `heap: ${numBytes} bytes for ${purpose}`);
    const size = Math.max(ALIGNMENT, alignUp(numBytes));
    const found = this.#takeFree(size, alignment) ?? this.#takeTop(size, alignment);
    if (found) {
      this.#usedBytes += size;
      return found;
    }
    if (this.onPressure()) return this.allocate(numBytes, purpose, alignment);
    throw this.#outOfMemory(numBytes, purpose);
  }

  /** Frees what `allocate(numBytes)` returned. */
  free(address: number, numBytes: number): void {
    const size = Math.max(ALIGNMENT, alignUp(numBytes));
    this.#usedBytes -= size;
    let low = 0;
    for (let high = this.#free.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (this.#free[middle]!.address < address) low = middle + 1;
      else high = middle;
    }
    const before = this.#free[low - 1];
    const after = this.#free[low];
    assert(
      (!before || before.address + before.numBytes <= address) && (!after || address + size <= after.address),
      `heap: ${address} freed twice`,
    );
    const joinsBefore = before && before.address + before.numBytes === address;
    const joinsAfter = after && address + size === after.address;
    if (joinsBefore && joinsAfter) {
      before.numBytes += size + after.numBytes;
      this.#free.splice(low, 1);
    } else if (joinsBefore) before.numBytes += size;
    else if (joinsAfter) {
      after.address = address;
      after.numBytes += size;
    } else this.#free.splice(low, 0, { address, numBytes: size });
    const last = this.#free.at(-1)!;
    if (last.address + last.numBytes === this.#top) {
      this.#top = last.address;
      this.#free.pop();
    }
  }

  #takeFree(size: number, alignment: number): Allocation | null {
    let best = -1;
    for (let i = 0; i < this.#free.length; i++) {
      const { address, numBytes } = this.#free[i]!;
      const fits = alignUp(address, alignment) + size <= address + numBytes;
      if (fits && (best < 0 || numBytes < this.#free[best]!.numBytes)) best = i;
    }
    if (best < 0) return null;
    const block = this.#free[best]!;
    const address = alignUp(block.address, alignment);
    const before = { address: block.address, numBytes: address - block.address };
    const after = { address: address + size, numBytes: block.address + block.numBytes - address - size };
    this.#free.splice(best, 1, ...[before, after].filter(({ numBytes }) => numBytes > 0));
    return { address, dirtyBytes: size };
  }

  #takeTop(size: number, alignment: number): Allocation | null {
    const address = alignUp(this.#top, alignment);
    const end = address + size;
    if (end > this.#memory.limitBytes) return null;
    const missing = end - this.#memory.numBytes;
    if (missing > 0) {
      const { numBytes, limitBytes } = this.#memory;
      const generous = Math.min(Math.max(missing, GROWTH_BYTES, numBytes >>> 2), limitBytes - numBytes);
      if (!this.#memory.grow(generous) && !this.#memory.grow(missing)) return null;
    }
    // Free blocks end before the top, so what alignment leaves out is a block by itself.
    if (address > this.#top) this.#free.push({ address: this.#top, numBytes: address - this.#top });
    this.#top = end;
    const dirtyBytes = Math.max(0, Math.min(end, this.#untouched) - address);
    this.#untouched = Math.max(this.#untouched, end);
    return { address, dirtyBytes };
  }

  #outOfMemory(numBytes: number, purpose: string): TurboQuantError {
    const limit = this.#memory.limitBytes;
    const cause =
      this.#top + numBytes > limit
        ? `the limit is ${limit} bytes (wasm32 cannot address more than 4 GiB)`
        : `the system refuses to grow the memory beyond ${this.#memory.numBytes} bytes`;
    return new TurboQuantError(
      "out_of_memory",
      `wasm memory: ${numBytes} bytes for ${purpose} do not fit, ${this.#usedBytes} are in use and ${cause}; ` +
        "choose weights of fewer bytes (q8), fewer KV bits, a shorter context or a smaller model",
      { requestedBytes: numBytes, usedBytes: this.#usedBytes, limitBytes: limit, purpose },
    );
  }
}
