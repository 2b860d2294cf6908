/** @file Pages in growing buffers: bytes survive growth, no buffer is larger than the device binds, and a full one says so. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../test/helpers/gpu.ts";
import { KvCache } from "../../cache/kv-cache.ts";
import { PagePool } from "../../cache/page-pool.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
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
