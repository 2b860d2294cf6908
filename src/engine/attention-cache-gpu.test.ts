/** @file The cache for other engines on a GPU device of theirs: buffers give what arrays give, and what is wrong with one is said. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "../../test/support/gpu.ts";
import { gaussians } from "../../test/support/wasm-backend.ts";
import { BufferUsage, MAP_READ } from "../backends/webgpu/device/gpu-flags.ts";
import { getPlatform } from "../platform.ts";
import { AttentionCache } from "./attention-cache.ts";
import type { CachedSequence } from "./cached-sequence.ts";

const [KEYS, QUERIES] = [2 * 16, 4 * 16];
const BOTH = BufferUsage.copySrc | BufferUsage.copyDst;

describe.skipIf(gpuSkip)("on a device that others made", { timeout: GPU_TIMEOUT_MS }, () => {
  let release: (() => void) | undefined;
  let gpu: GPU;
  let device: GPUDevice;
  let cache: AttentionCache;
  const errors: string[] = [];
  beforeAll(async () => {
    const handle = await getPlatform().openGpu({ isShared: true });
    release = handle.release;
    gpu = handle.gpu;
    device = await (await gpu.requestAdapter())!.requestDevice();
    device.addEventListener("uncapturederror", (event) =>
      errors.push((event as GPUUncapturedErrorEvent).error.message),
    );
    cache = await AttentionCache.create({
      ...{ numLayers: 1, numHeads: 4, numKvHeads: 2, headDim: 16 },
      ...{ kv: "k4v4,search=off,window=8,sinks=0", device },
    });
  }, GPU_TIMEOUT_MS);
  afterAll(() => {
    device?.destroy();
    release?.();
  });

  const bufferOf = (values: Float32Array, usage: number = BOTH, on = device): GPUBuffer => {
    const buffer = on.createBuffer({ size: values.byteLength, usage });
    on.queue.writeBuffer(buffer, 0, values as Float32Array<ArrayBuffer>);
    return buffer;
  };
  const empty = (length: number, usage: number = BOTH): GPUBuffer => device.createBuffer({ size: 4 * length, usage });

  async function valuesOf(buffer: GPUBuffer): Promise<Float32Array> {
    const copy = device.createBuffer({ size: buffer.size, usage: BufferUsage.mapRead | BufferUsage.copyDst });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    device.queue.submit([encoder.finish()]);
    await copy.mapAsync(MAP_READ);
    return new Float32Array(copy.getMappedRange().slice(0));
  }

  /** A sequence whose pass has one token, which the layer has. */
  function begun(): CachedSequence {
    const sequence = cache.createSequence();
    sequence.append(0, gaussians(1, KEYS), gaussians(2, KEYS));
    return sequence;
  }

  it("has the outputs of arrays, for several tokens and for one, without a wait", async () => {
    const [own, other] = [cache.createSequence(), cache.createSequence()];
    for (const [pass, count] of [20, 1].entries()) {
      const [k, v] = [gaussians(3 * pass, count * KEYS), gaussians(3 * pass + 1, count * KEYS)];
      const q = gaussians(3 * pass + 2, count * QUERIES);
      own.append(0, k, v);
      const expected = await own.attend(0, q);

      // Parts of one buffer; the output comes behind what is there.
      const inputs = bufferOf(Float32Array.from([7, ...k, ...v, ...q]));
      const out = bufferOf(new Float32Array(3 + count * QUERIES).fill(5));
      const bytes = 4 * count * KEYS;
      other.append(0, { buffer: inputs, offset: 4, size: bytes }, { buffer: inputs, offset: 4 + bytes, size: bytes });
      const accepted = other.attend(0, { buffer: inputs, offset: 4 + 2 * bytes }, { buffer: out, offset: 12 });
      // In the order of the queue: what is done to the buffers from here on changes nothing.
      device.queue.writeBuffer(inputs, 0, new Float32Array(inputs.size / 4));
      expect(await valuesOf(out)).toEqual(Float32Array.from([5, 5, 5, ...expected]));
      await accepted;
    }
    expect(other.length).toBe(21);
    for (const sequence of [own, other]) sequence.release();
  });

  it.each<[string, () => unknown, () => unknown, string]>([
    [
      "a kind of its own",
      () => new ArrayBuffer(128),
      () => empty(KEYS),
      "append, k: expected an array of numbers, a GPUBuffer",
    ],
    ["mixed kinds", () => empty(KEYS), () => gaussians(1, KEYS), "both as arrays or both in buffers, got one of each"],
    [
      "sizes",
      () => empty(KEYS),
      () => empty(KEYS + 1),
      "expected 32 numbers of keys and 32 of values a token, got 32 and 33; {",
    ],
    [
      "a part",
      () => ({ buffer: empty(KEYS), offset: 2 }),
      () => empty(KEYS),
      "append, k: expected multiples of 4 as offset and size, within the buffer's 128 bytes, got offset 2",
    ],
    [
      "a part beyond it",
      () => empty(KEYS),
      () => ({ buffer: empty(KEYS), offset: 4, size: 128 }),
      "append, v: expected multiples of 4",
    ],
    [
      "a usage",
      () => empty(KEYS, BufferUsage.storage),
      () => empty(KEYS),
      "append, k: expected a buffer with the usage COPY_SRC, got 0x80",
    ],
    [
      "a map",
      () => device.createBuffer({ size: 128, usage: BOTH, mappedAtCreation: true }),
      () => empty(KEYS),
      "append, k: the buffer is mapped (mapped)",
    ],
  ])("refuses keys and values for %s", (_, k, v, message) => {
    const sequence = cache.createSequence();
    expect(() => sequence.append(0, k() as GPUBuffer, v() as GPUBuffer)).toThrow(message);
    expect(sequence.length, "nothing has begun").toBe(0);
    sequence.release();
  });

  it.each<[string, () => unknown, () => unknown, string]>([
    ["no output", () => empty(QUERIES), () => undefined, "queries and an output in buffers"],
    [
      "an output beside an array",
      () => gaussians(1, QUERIES),
      () => empty(QUERIES),
      "expected queries as an array, or",
    ],
    ["the size of q", () => empty(3), () => empty(QUERIES), "expected 64 numbers, of 1 tokens, got 3; {"],
    [
      "the size of the output",
      () => empty(QUERIES),
      () => empty(3),
      "expected room for 64 numbers, of 1 tokens, got 3; {",
    ],
    [
      "its usage",
      () => empty(QUERIES),
      () => empty(QUERIES, BufferUsage.copySrc),
      "attend, out: expected a buffer with the usage COPY_DST",
    ],
  ])("refuses to attend for %s", async (_, q, out, message) => {
    const sequence = begun();
    await expect(sequence.attend(0, q() as GPUBuffer, out() as GPUBuffer)).rejects.toThrow(message);
    sequence.release();
  });

  it("says what the device refuses, and other sequences go on", async () => {
    const other = await (await gpu.requestAdapter())!.requestDevice();
    const destroyed = (length: number): GPUBuffer => {
      const buffer = empty(length);
      buffer.destroy();
      return buffer;
    };
    const sequence = begun();
    const expected = await sequence.attend(0, gaussians(3, QUERIES));
    const q = bufferOf(gaussians(3, QUERIES));
    await expect(sequence.attend(0, destroyed(QUERIES), empty(QUERIES))).rejects.toThrow(
      "attend, q: the device refuses",
    );
    await expect(sequence.attend(0, q, destroyed(QUERIES))).rejects.toThrow("attend, out: the device refuses");

    const lost = cache.createSequence();
    const foreign = bufferOf(gaussians(1, KEYS), BOTH, other);
    lost.append(0, empty(KEYS), foreign);
    await expect(lost.attend(0, q, empty(QUERIES))).rejects.toThrow(/append, v: the device refuses the buffer.*\(/);
    expect(() => lost.append(0, empty(KEYS), empty(KEYS))).toThrow(
      "keys or values of this sequence are missing; release it",
    );
    lost.release();

    const out = empty(QUERIES);
    await sequence.attend(0, q, out);
    expect(await valuesOf(out)).toEqual(expected);
    sequence.release();
    other.destroy();
  });

  it("an error of those whose device it is stays theirs, and the cache goes on", async () => {
    const heard = new Promise<void>((resolve) => {
      device.addEventListener("uncapturederror", (event) => {
        event.preventDefault();
        resolve();
      });
    });
    device.createBuffer({ size: 16, usage: 0xffff_0000 });
    await heard;
    expect(errors.splice(0)).toHaveLength(1);
    const sequence = begun();
    expect(await sequence.attend(0, gaussians(3, QUERIES))).toHaveLength(QUERIES);
    sequence.release();
  });

  it("leaves the device as it is", async () => {
    expect(cache.device).toBe(device);
    await cache.dispose();
    expect(await valuesOf(bufferOf(Float32Array.of(1, 2)))).toEqual(Float32Array.of(1, 2));
    expect(errors).toEqual([]);
  });
});

describe("without a GPU", () => {
  const SHAPE = { numLayers: 1, numHeads: 4, numKvHeads: 2, headDim: 16 } as const;
  const buffer = { size: 128, usage: BOTH, mapState: "unmapped", mapAsync() {} } as unknown as GPUBuffer;

  it("buffers are refused", async () => {
    await using cache = await AttentionCache.create({ ...SHAPE, backend: "reference" });
    expect(cache.device).toBeNull();
    expect(() => cache.createSequence().append(0, buffer, buffer)).toThrow("the reference backend has no GPU buffers");
  });

  it("a device is none for a backend on the CPU", async () => {
    const create = AttentionCache.create({ ...SHAPE, backend: "wasm", device: {} as GPUDevice });
    await expect(create).rejects.toThrow("device: the wasm backend does not run on a GPU; leave the backend out");
  });
});
