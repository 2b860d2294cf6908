/** @file Pages in growing buffers: bytes survive growth, no buffer is larger than the device binds, and a full one says so. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { KvCache } from "../../../cache/kv-cache.ts";
import { PagePool } from "../../../cache/page-pool.ts";
import { parseKvSpec } from "../../../quant/parse-kv-spec.ts";
import { slabCapacity } from "./buffer-bytes.ts";
import { GpuPageStorage } from "./page-storage.ts";

const LIMIT = 1 << 18;
const PAGE = 4096;

describe.skipIf(gpuSkip)(`webgpu pages${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let gpu: TestGpu;
  let storage: GpuPageStorage;
  beforeAll(async () => {
    gpu = await openTestGpu({ bindingLimit: LIMIT });
    storage = new GpuPageStorage(gpu.context, gpu.commands, gpu.allocator);
  });
  afterAll(() => gpu?.dispose());

  it("a stream takes what one binding holds and no more; its pages stay as they are", async () => {
    const pages = [];
    for (let n = 0; n < LIMIT / PAGE; n++) {
      const address = storage.allocate(PAGE, 0);
      storage.write(address, new Uint8Array(PAGE).fill(n + 1));
      pages.push(address);
      expect(storage.bufferOf(0, PAGE).numBytes).toBeLessThanOrEqual(LIMIT);
    }
    expect(() => storage.allocate(PAGE, 0)).toThrow(
      expect.objectContaining({ code: "out_of_memory", detail: { requestedBytes: LIMIT + PAGE, limitBytes: LIMIT } }),
    );
    // Another layer's stream is another buffer.
    const other = storage.allocate(PAGE, 2);
    for (const [n, address] of pages.entries()) {
      expect((await storage.read(address, PAGE)).every((byte) => byte === n + 1)).toBe(true);
    }
    expect((await storage.read(other, PAGE)).every((byte) => byte === 0)).toBe(true);
    storage.release(pages[5]!, PAGE);
    const again = storage.allocate(PAGE, 0);
    expect((await storage.read(again, PAGE)).every((byte) => byte === 0)).toBe(true);
    for (const address of pages.filter((_, n) => n !== 5)) storage.release(address, PAGE);
    storage.release(again, PAGE);
    storage.release(other, PAGE);
  });

  it("what is expected is allocated at once; growth is one submit for all streams, and the pages stay", async () => {
    const expected = 16;
    storage.expect(PAGE, 4, expected);
    const held = storage.numBytes;
    const first = storage.allocate(PAGE, 4);
    const buffer = storage.bufferOf(4, PAGE);
    expect(storage.numBytes - held).toBe(expected * PAGE);
    const others = Array.from({ length: expected - 1 }, () => storage.allocate(PAGE, 4));
    expect(storage.bufferOf(4, PAGE)).toBe(buffer);
    storage.write(first, new Uint8Array(PAGE).fill(7));

    const second = Array.from({ length: 4 }, () => storage.allocate(PAGE, 6));
    storage.write(second[0]!, new Uint8Array(PAGE).fill(9));
    gpu.commands.flush();
    const { submits } = gpu.commands.counts;
    others.push(storage.allocate(PAGE, 4));
    second.push(storage.allocate(PAGE, 6));
    expect(gpu.commands.counts.submits).toBe(submits);
    gpu.commands.flush();
    expect(gpu.commands.counts.submits).toBe(submits + 1);
    expect((await storage.read(first, PAGE)).every((byte) => byte === 7)).toBe(true);
    expect((await storage.read(second[0]!, PAGE)).every((byte) => byte === 9)).toBe(true);

    // Small streams double.
    const buffers = new Set();
    for (let n = 0; n < 44; n++) {
      second.push(storage.allocate(PAGE, 6));
      buffers.add(storage.bufferOf(6, PAGE));
    }
    expect(buffers.size).toBeLessThanOrEqual(4);
    for (const page of [first, ...others]) storage.release(page, PAGE);
    for (const page of second) storage.release(page, PAGE);
    // The next sequence begins with what was expected, zeroed.
    expect(storage.bufferOf(4, PAGE).numBytes).toBe(expected * PAGE);
    const again = storage.allocate(PAGE, 4);
    expect((await storage.read(again, PAGE)).every((byte) => byte === 0)).toBe(true);
    storage.release(again, PAGE);
  });

  it("room for pages to come is made in one growth, at the size that growing step by step arrives at", async () => {
    const group = 10;
    storage.makeRoom(PAGE, group, 5);
    const pages = [storage.allocate(PAGE, group)];
    expect(storage.bufferOf(group, PAGE).numBytes).toBe(slabCapacity(5, PAGE, 0) * PAGE);
    storage.write(pages[0]!, new Uint8Array(PAGE).fill(5));
    storage.makeRoom(PAGE, group, 40);
    const buffer = storage.bufferOf(group, PAGE);
    expect(buffer.numBytes).toBe(slabCapacity(41, PAGE, 0) * PAGE);
    for (let n = 0; n < 40; n++) pages.push(storage.allocate(PAGE, group));
    expect(storage.bufferOf(group, PAGE)).toBe(buffer);
    expect((await storage.read(pages[0]!, PAGE)).every((byte) => byte === 5)).toBe(true);
    // Free slots are room already, and more than a binding holds is left to be refused.
    storage.release(pages.pop()!, PAGE);
    storage.makeRoom(PAGE, group, 1);
    storage.makeRoom(PAGE, group, LIMIT / PAGE);
    storage.makeRoom(PAGE, 12, LIMIT / PAGE + 1);
    expect(storage.bufferOf(group, PAGE)).toBe(buffer);
    for (const page of pages) storage.release(page, PAGE);
  });

  it("a stream that is emptied without growing keeps its buffer, zeroed", async () => {
    storage.expect(PAGE, 8, 6);
    const page = storage.allocate(PAGE, 8);
    storage.write(page, new Uint8Array(PAGE).fill(3));
    const buffer = storage.bufferOf(8, PAGE);
    storage.release(page, PAGE);
    const next = storage.allocate(PAGE, 8);
    expect(storage.bufferOf(8, PAGE)).toBe(buffer);
    expect((await storage.read(next, PAGE)).every((byte) => byte === 0)).toBe(true);
    storage.release(next, PAGE);
  });

  it("capacities: doubled while small, a sixteenth more when large, and not beyond what is expected", () => {
    expect([1, 5, 9, 17].map((pages) => slabCapacity(pages, PAGE, 0))).toEqual([4, 8, 16, 32]);
    expect(slabCapacity(1, PAGE, 1000)).toBe(2 ** 20 / PAGE);
    expect(slabCapacity(300, PAGE, 400)).toBe(400);
    expect(slabCapacity(401, PAGE, 400)).toBe(400 + 256);
    const large = 2 ** 20;
    expect(slabCapacity(64, large, 0)).toBe(64);
    expect(slabCapacity(65, large, 65)).toBe(65);
    expect(slabCapacity(1001, large, 0) / 1001).toBeLessThan(1 + 1 / 16 + 1 / 1001);
  });

  it("a sequence that fills its binding is as before the step that did not fit", () => {
    const format = parseKvSpec("k4v4,sinks=0,window=0").forLayer(0);
    const cache = new KvCache([{ numKvHeads: 2, headDim: 64 }], () => format, new PagePool(storage));
    const sequence = cache.createSequence();
    const step = 64;
    const most = Math.floor(LIMIT / cache.layers[0]!.main.numBytes) * cache.layers[0]!.main.pageTokens;
    for (let length = 0; length < most; length += step) {
      sequence.reserve(step);
      sequence.commit(step);
    }
    expect(() => sequence.reserve(1)).toThrow(expect.objectContaining({ code: "out_of_memory" }));
    expect(sequence.length).toBe(most);
    sequence.trim(10);
    sequence.reserve(1);
    sequence.commit(1);
    expect(sequence.length).toBe(11);
    sequence.release();
    expect(cache.numBytes).toBe(0);
  });
});
