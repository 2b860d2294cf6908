/** @file KV pages in WASM memory. The address of a page is its byte offset. */
import type { PageAddress, PageStorage } from "../../cache/page-storage.ts";
import { alignUp } from "./heap.ts";
import type { WasmMemory } from "./memory.ts";

/**
 * Pages of memory are where a processor's own prefetcher ends and begins anew. KV pages that begin anywhere have their heads' rows lie
 * across them: attention over f16 took up to 1.15 times as long.
 */
const MEMORY_PAGE = 4096;

/** The largest power of two that divides a size, up to a page of memory: pages of one size follow each other without gaps. */
function alignmentOf(size: number): number {
  return Math.min(MEMORY_PAGE, size & -size);
}

export class WasmPageStorage implements PageStorage {
  readonly #memory: WasmMemory;
  /** Released pages by size. A cache has pages of only a few sizes, and they are reused all the time. */
  readonly #free = new Map<number, PageAddress[]>();
  #numBytes = 0;

  constructor(memory: WasmMemory) {
    this.#memory = memory;
    memory.heap.onPressure = () => this.#giveBack();
  }

  get numBytes(): number {
    return this.#numBytes;
  }

  allocate(numBytes: number): PageAddress {
    const size = alignUp(numBytes);
    const reused = this.#free.get(size)?.pop();
    if (reused !== undefined) {
      this.#memory.u8.fill(0, reused, reused + numBytes);
      return reused;
    }
    const address = this.#memory.allocateZeroed(size, "a KV page", alignmentOf(size));
    this.#numBytes += size;
    return address;
  }

  release(address: PageAddress, numBytes: number): void {
    const size = alignUp(numBytes);
    const list = this.#free.get(size);
    if (list) list.push(address);
    else this.#free.set(size, [address]);
  }

  copy(from: PageAddress, to: PageAddress, numBytes: number): void {
    this.#memory.u8.copyWithin(to, from, from + numBytes);
  }

  async read(address: PageAddress, numBytes: number): Promise<Uint8Array> {
    // `slice` would return a view on shared memory, which some APIs refuse.
    const bytes = new Uint8Array(numBytes);
    bytes.set(this.#memory.u8.subarray(address, address + numBytes));
    return bytes;
  }

  write(address: PageAddress, bytes: Uint8Array): void {
    this.#memory.u8.set(bytes, address);
  }

  /** Returns all free pages to the heap, which merges neighbours so that they can serve other sizes. */
  #giveBack(): boolean {
    let any = false;
    for (const [size, list] of this.#free) {
      for (const address of list) {
        this.#memory.heap.free(address, size);
        this.#numBytes -= size;
        any = true;
      }
    }
    this.#free.clear();
    return any;
  }
}
