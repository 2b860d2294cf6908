/**
 * @file KV pages in device buffers: one growing buffer (slab) for each group, which is a stream of a layer. A kernel binds all
 * pages of a layer at once, and no binding holds more than one layer.
 *
 * An address is the number of the slab, shifted by SLOT_BITS, and the slot in it; kernels see only the slot.
 */
import type { PageAddress, PageStorage } from "../../../cache/page-storage.ts";
import { assert, TurboQuantError } from "../../../errors.ts";
import type { GpuContext } from "../device/context.ts";
import { bufferBytes, firstCapacity, grown, slabCapacity } from "./buffer-bytes.ts";
import type { BufferAllocator, GpuBuffer } from "./buffers.ts";
import type { Commands } from "./commands.ts";

const SLOT_BITS = 20;
/** The part of an address that a kernel multiplies by the page size. */
export const SLOT_MASK = 2 ** SLOT_BITS - 1;
const MAX_SLABS = 2 ** (32 - SLOT_BITS) - 1;
const keyOf = (group: number, pageBytes: number): string => `${group}/${pageBytes}`;

interface Slab {
  readonly pageBytes: number;
  /** Identifies group and page size. */
  readonly key: string;
  buffer: GpuBuffer;
  /** Number of slots ever used; those released are in `free`. */
  used: number;
  readonly free: number[];
}

export class GpuPageStorage implements PageStorage {
  readonly #context: GpuContext;
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  readonly #slabs: Slab[] = [];
  readonly #byGroup = new Map<string, number>();
  readonly #expected = new Map<string, number>();
  /** Bound in place of pages that a layer does not have. */
  readonly #empty: GpuBuffer;

  constructor(context: GpuContext, commands: Commands, allocator: BufferAllocator) {
    this.#context = context;
    this.#commands = commands;
    this.#allocator = allocator;
    this.#empty = allocator.allocate(16, "no pages");
  }

  get numBytes(): number {
    return this.#slabs.reduce((sum, slab) => sum + slab.buffer.numBytes, 0);
  }

  /** The buffer of a group's pages of this size. */
  bufferOf(group: number, pageBytes: number): GpuBuffer {
    const index = this.#byGroup.get(keyOf(group, pageBytes));
    return index === undefined ? this.#empty : this.#slabs[index]!.buffer;
  }

  expect(numBytes: number, group: number, pages: number): void {
    const key = keyOf(group, numBytes);
    this.#expected.set(key, Math.max(pages, this.#expected.get(key) ?? 0));
  }

  makeRoom(numBytes: number, group: number, pages: number): void {
    const index = this.#byGroup.get(keyOf(group, numBytes));
    // A stream that does not exist yet, or is empty, is made or replaced at the size that is wanted.
    const slab = this.#slabs[index ?? -1];
    const wanted = (slab ? slab.used - slab.free.length : 0) + pages;
    const most = Math.min(SLOT_MASK, Math.floor(this.#context.bindingBytes / numBytes));
    if (wanted <= 0 || wanted > most) return;
    if (!slab) this.#makeSlab(numBytes, group, wanted);
    else if (wanted * numBytes > slab.buffer.numBytes) this.#grow(slab, group, this.#capacityFor(slab, wanted));
  }

  allocate(numBytes: number, group: number): PageAddress {
    this.#context.check();
    const key = keyOf(group, numBytes);
    const index = this.#byGroup.get(key) ?? this.#makeSlab(numBytes, group, 1);
    const slab = this.#slabs[index]!;
    const reused = slab.free.pop();
    if (reused !== undefined) {
      this.#commands.clear(slab.buffer, reused * numBytes, numBytes);
      return (index + 1) * 2 ** SLOT_BITS + reused;
    }
    if (slab.used === Math.floor(slab.buffer.numBytes / numBytes)) {
      this.#grow(slab, group, this.#capacityFor(slab, slab.used + 1));
    }
    return (index + 1) * 2 ** SLOT_BITS + slab.used++;
  }

  release(address: PageAddress, numBytes: number): void {
    const { slab, slot } = this.#find(address);
    assert(slab.pageBytes === numBytes, `page ${address}: released as ${numBytes} bytes, has ${slab.pageBytes}`);
    slab.free.push(slot);
    if (slab.free.length === slab.used) {
      slab.free.length = 0;
      this.#forget(slab);
    }
  }

  copy(from: PageAddress, to: PageAddress, numBytes: number): void {
    const [a, b] = [this.#find(from), this.#find(to)];
    if (a.slab !== b.slab) {
      this.#commands.copy(a.slab.buffer, a.slot * numBytes, b.slab.buffer, b.slot * numBytes, numBytes);
      return;
    }
    // WebGPU cannot copy within one buffer.
    const between = this.#allocator.allocate(numBytes, "page copy");
    this.#commands.copy(a.slab.buffer, a.slot * numBytes, between, 0, numBytes);
    this.#commands.copy(between, 0, b.slab.buffer, b.slot * numBytes, numBytes);
    this.#allocator.free(between);
  }

  async read(address: PageAddress, numBytes: number): Promise<Uint8Array> {
    const { slab, slot } = this.#find(address);
    return new Uint8Array(await this.#commands.read(slab.buffer, slot * slab.pageBytes, numBytes));
  }

  write(address: PageAddress, bytes: Uint8Array): void {
    const { slab, slot } = this.#find(address);
    this.#commands.write(slab.buffer, slot * slab.pageBytes, bytes);
  }

  #find(address: PageAddress): { slab: Slab; slot: number } {
    const slab = this.#slabs[Math.floor(address / 2 ** SLOT_BITS) - 1];
    assert(slab, `page ${address} is not allocated`);
    return { slab, slot: address & SLOT_MASK };
  }

  /** A buffer for the pages of a stream that has none. returns: index of the slab */
  #makeSlab(numBytes: number, group: number, pages: number): number {
    if (this.#slabs.length === MAX_SLABS) {
      throw new TurboQuantError(
        "out_of_memory",
        `webgpu: more than ${MAX_SLABS} kinds of KV pages; dispose of models that are not used`,
      );
    }
    const key = keyOf(group, numBytes);
    const most = Math.max(1, Math.floor(this.#context.bindingBytes / numBytes));
    const capacity = slabCapacity(pages, numBytes, this.#expected.get(key) ?? 0);
    const buffer = this.#allocator.allocate(Math.min(most, capacity) * numBytes, `KV pages of layer ${group >> 1}`);
    this.#byGroup.set(key, this.#slabs.length);
    return this.#slabs.push({ pageBytes: numBytes, key, buffer, used: 0, free: [] }) - 1;
  }

  /** Pages of the buffer that comes after a slab's for `pages`: the size that growing step by step arrives at. */
  #capacityFor({ key, pageBytes, buffer }: Slab, pages: number): number {
    let capacity = Math.floor(buffer.numBytes / pageBytes);
    while (capacity < pages) capacity = grown(capacity, pageBytes, this.#expected.get(key) ?? 0);
    return capacity;
  }

  #grow(slab: Slab, group: number, capacity: number): void {
    assert(capacity <= SLOT_MASK, `${capacity} pages in one group`);
    const limit = this.#context.bindingBytes;
    const pages = Math.min(capacity, Math.floor(limit / slab.pageBytes));
    const wanted = Math.max(pages, slab.used + 1);
    const larger = this.#allocator.allocate(wanted * slab.pageBytes, `KV pages of layer ${group >> 1}`);
    if (slab.used > 0) this.#commands.copy(slab.buffer, 0, larger, 0, slab.used * slab.pageBytes);
    this.#allocator.free(slab.buffer);
    slab.buffer = larger;
  }

  /** Frees the memory of a group without pages, except for what the next sequence starts with. */
  #forget(slab: Slab): void {
    const numBytes = bufferBytes(this.#firstPages(slab.key, slab.pageBytes) * slab.pageBytes);
    if (slab.buffer.numBytes <= numBytes) {
      this.#commands.clear(slab.buffer, 0, slab.used * slab.pageBytes);
    } else {
      const small = this.#allocator.allocate(numBytes, slab.buffer.raw.label);
      this.#allocator.free(slab.buffer);
      slab.buffer = small;
    }
    slab.used = 0;
  }

  /** Number of pages in a group's first buffer. */
  #firstPages(key: string, pageBytes: number): number {
    const most = Math.max(1, Math.floor(this.#context.bindingBytes / pageBytes));
    return Math.min(most, firstCapacity(pageBytes, this.#expected.get(key) ?? 0));
  }
}
