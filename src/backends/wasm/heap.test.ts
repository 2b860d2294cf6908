/** @file The allocator: no two live ranges overlap, freed neighbours merge, exhaustion is one clear error. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ALIGNMENT, alignUp, type GrowableMemory, Heap } from "./heap.ts";
import { MAX_BYTES, RESERVED_BYTES, WasmMemory } from "./memory.ts";
import { WasmPageStorage } from "./page-storage.ts";

class FakeMemory implements GrowableMemory {
  numBytes = 65536;
  readonly limitBytes: number;
  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }
  grow(numBytes: number): boolean {
    this.numBytes += numBytes;
    return true;
  }
}

describe("Heap", () => {
  it("never hands out overlapping ranges, and merges everything once all is freed", () => {
    const operations = fc.array(
      fc.oneof(
        fc.record({ size: fc.integer({ min: 0, max: 5000 }), alignment: fc.constantFrom(ALIGNMENT, 256, 4096) }),
        fc.record({ free: fc.nat(100) }),
      ),
      { maxLength: 120 },
    );
    fc.assert(
      fc.property(operations, (list) => {
        const heap = new Heap(new FakeMemory(1 << 24), 100);
        const live: { address: number; size: number }[] = [];
        for (const operation of list) {
          if ("size" in operation) {
            const { address } = heap.allocate(operation.size, "a test", operation.alignment);
            const end = address + Math.max(operation.size, 1);
            expect(address % operation.alignment).toBe(0);
            expect(address).toBeGreaterThanOrEqual(100);
            for (const other of live) {
              expect(end <= other.address || other.address + Math.max(other.size, 1) <= address).toBe(true);
            }
            live.push({ address, size: operation.size });
          } else if (live.length > 0) {
            const [block] = live.splice(operation.free % live.length, 1);
            heap.free(block!.address, block!.size);
          }
          const used = live.reduce((sum, b) => sum + Math.max(ALIGNMENT, alignUp(b.size)), 0);
          expect(heap.usedBytes).toBe(used);
        }
        for (const { address, size } of live) heap.free(address, size);
        expect(heap.usedBytes).toBe(0);
        expect(heap.freeBlocks).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  it("names the bytes, the limit and the next step when memory ends, and changes nothing", () => {
    const heap = new Heap(new FakeMemory(1 << 20), 0);
    const { address } = heap.allocate(500_000, "a weight");
    const fail = () => heap.allocate(600_000, "a KV page");
    expect(fail).toThrow(/600000 bytes for a KV page .* limit is 1048576 bytes \(wasm32 .* 4 GiB\); choose/);
    expect(fail).toThrow(expect.objectContaining({ code: "out_of_memory" }));
    expect(heap.usedBytes).toBe(alignUp(500_000));
    heap.free(address, 500_000);
    // Room at the end is one piece again, and known to be clean beyond what was used.
    expect(heap.allocate(600_000, "a KV page")).toEqual({ address, dirtyBytes: alignUp(500_000) });
  });

  it("refuses a double free", () => {
    const heap = new Heap(new FakeMemory(1 << 20), 0);
    const { address } = heap.allocate(64, "a test");
    heap.allocate(64, "a test");
    heap.free(address, 64);
    expect(() => heap.free(address, 64)).toThrow(/freed twice/);
  });
});

describe("WasmMemory", () => {
  it("grows as asked, keeps what was written, and does not touch the rest", () => {
    const memory = new WasmMemory(false);
    expect(memory.numBytes).toBe(RESERVED_BYTES);
    const first = memory.allocateZeroed(1000, "a test");
    memory.u8.fill(7, first, first + 1000);
    const second = memory.allocateZeroed(20 << 20, "a test");
    expect(memory.u8[first + 999]).toBe(7);
    expect(memory.u8[second + (20 << 20) - 1]).toBe(0);
    expect(memory.exceedsCaches).toBe(false);
    memory.allocateZeroed(40 << 20, "a test");
    expect(memory.exceedsCaches).toBe(true);
    expect(memory.limitBytes).toBe(MAX_BYTES);
  });

  it("stops at memoryLimitBytes", () => {
    const memory = new WasmMemory(true, 8 << 20);
    expect(() => memory.heap.allocate(9 << 20, "a weight")).toThrow(/limit is 8388608/);
    expect(() => new WasmMemory(true, 1000)).toThrow(/memoryLimitBytes: expected at least/);
  });
});

describe("WasmPageStorage", () => {
  it("begins pages where pages of memory begin, or at the largest part of one that divides their size", () => {
    const memory = new WasmMemory(false);
    const storage = new WasmPageStorage(memory);
    memory.heap.allocate(64, "a vector");
    const sizes = [4096 * 3, 2048 * 33, 2048 * 33, 64 * 7, 4096];
    const pages = sizes.map((size) => storage.allocate(size));
    expect(pages.map((page, i) => page % [4096, 2048, 2048, 64, 4096][i]!)).toEqual([0, 0, 0, 0, 0]);
    expect(pages[2]! - pages[1]!).toBe(2048 * 33);
    // What was left out before the first page serves what needs less.
    expect(memory.heap.allocate(64, "a vector").address).toBeLessThan(pages[0]!);
  });

  it("reuses released pages, zeroed, and counts what it holds", async () => {
    const storage = new WasmPageStorage(new WasmMemory(false));
    const page = storage.allocate(4000);
    storage.write(page, new Uint8Array(4000).fill(9));
    expect(storage.numBytes).toBe(alignUp(4000));
    const copy = storage.allocate(4000);
    storage.copy(page, copy, 4000);
    expect((await storage.read(copy, 4000)).every((b) => b === 9)).toBe(true);
    storage.release(page, 4000);
    expect(storage.numBytes).toBe(2 * alignUp(4000));
    const again = storage.allocate(4000);
    expect(again).toBe(page);
    expect((await storage.read(again, 4000)).every((b) => b === 0)).toBe(true);
    expect(storage.numBytes).toBe(2 * alignUp(4000));
  });

  it("gives free pages back when other sizes need the room", () => {
    const memory = new WasmMemory(false, 4 << 20);
    const storage = new WasmPageStorage(memory);
    const pages = Array.from({ length: 60 }, () => storage.allocate(50_000));
    for (const page of pages) storage.release(page, 50_000);
    expect(storage.numBytes).toBe(60 * alignUp(50_000));
    expect(() => memory.heap.allocate(3 << 20, "a weight")).not.toThrow();
    expect(storage.numBytes).toBe(0);
  });
});
