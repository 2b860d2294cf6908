/** @file The linear memory of the kernels: shared between threads if the platform allows it. Views are renewed when it grows. */
import { TurboQuantError } from "../../errors.ts";
import { type GrowableMemory, Heap } from "./heap.ts";

const PAGE = 65536;
/** The maximum that the modules declare, and that wasm32 allows. */
export const MAX_BYTES = 65536 * PAGE;
/** [0, RESERVED) holds the control block of the thread pool and the parameter block. */
export const RESERVED_BYTES = PAGE;
/** Address of the parameter block of the current kernel call. Address 0 stays unused, so that 0 can mean "none". */
export const PARAMS_ADDRESS = 4096;

/** What is in use together stays in the caches of common processors from token to token up to this. */
const CACHED_BYTES = 24 << 20;

export class WasmMemory implements GrowableMemory {
  #memory: WebAssembly.Memory | null;
  readonly shared: boolean;
  readonly limitBytes: number;
  readonly heap: Heap;
  #u8!: Uint8Array;
  #i32!: Int32Array;
  #u32!: Uint32Array;
  #f32!: Float32Array;
  #view!: DataView;

  /** limitBytes: at most 4 GiB; rounded down to a multiple of 64 KiB */
  constructor(shared: boolean, limitBytes: number = MAX_BYTES) {
    this.shared = shared;
    const pages = Math.floor(Math.min(limitBytes, MAX_BYTES) / PAGE);
    if (!(pages >= 16)) {
      throw new TurboQuantError(
        "invalid_argument",
        `memoryLimitBytes: expected at least ${16 * PAGE} bytes, got ${limitBytes}; leave it out for all of wasm32's 4 GiB`,
        { limitBytes },
      );
    }
    const { memory, maximum } = reserve(shared, pages);
    this.#memory = memory;
    this.limitBytes = maximum * PAGE;
    this.#refresh();
    this.heap = new Heap(this, RESERVED_BYTES);
  }

  /** @throws TurboQuantError device_lost — after `release` */
  get memory(): WebAssembly.Memory {
    if (this.#memory) return this.#memory;
    throw new TurboQuantError("device_lost", "wasm backend: it was disposed; load the model again");
  }

  /** Whether weights and pages that are visited token by token have left the processor's caches when their turn comes again. */
  get exceedsCaches(): boolean {
    return this.heap.usedBytes > CACHED_BYTES;
  }

  get numBytes(): number {
    return this.#u8.length;
  }

  /** Views of the whole memory as it is now; they have to be taken again after any allocation. */
  get u8(): Uint8Array {
    return this.#u8;
  }
  get i32(): Int32Array {
    return this.#i32;
  }
  get u32(): Uint32Array {
    return this.#u32;
  }
  get f32(): Float32Array {
    return this.#f32;
  }
  get view(): DataView {
    return this.#view;
  }

  grow(numBytes: number): boolean {
    const { memory } = this;
    try {
      memory.grow(Math.ceil(numBytes / PAGE));
    } catch {
      return false;
    }
    this.#refresh();
    return true;
  }

  /** Allocates memory and makes sure that it is zero. */
  allocateZeroed(numBytes: number, purpose: string, alignment?: number): number {
    const { address, dirtyBytes } = this.heap.allocate(numBytes, purpose, alignment);
    this.#u8.fill(0, address, address + Math.min(dirtyBytes, numBytes));
    return address;
  }

  /** Releases the memory even if this object is still referenced. */
  release(): void {
    this.#memory = null;
    this.#setViews(new ArrayBuffer(0));
  }

  #refresh(): void {
    this.#setViews(this.memory.buffer);
  }

  #setViews(buffer: ArrayBufferLike): void {
    this.#u8 = new Uint8Array(buffer);
    this.#i32 = new Int32Array(buffer);
    this.#u32 = new Uint32Array(buffer);
    this.#f32 = new Float32Array(buffer);
    this.#view = new DataView(buffer);
  }
}

/** Some systems do not allow us to reserve 4 GiB of addresses; then less is tried, down to 256 MiB. */
function reserve(shared: boolean, pages: number): { memory: WebAssembly.Memory; maximum: number } {
  for (let maximum = pages; ; maximum >>= 1) {
    try {
      return { memory: new WebAssembly.Memory({ initial: RESERVED_BYTES / PAGE, maximum, shared }), maximum };
    } catch (cause) {
      if (maximum >> 1 < 4096) {
        throw new TurboQuantError(
          "out_of_memory",
          `wasm memory: the system reserves no ${maximum * PAGE} bytes of addresses; close other programs, or raise the limit of virtual memory (ulimit -v)`,
          { requestedBytes: maximum * PAGE },
          { cause },
        );
      }
    }
  }
}
