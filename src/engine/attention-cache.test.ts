/** @file The cache for other engines' keys and values, against attention in plain TypeScript, and what it refuses. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import { gaussians, relativeError } from "../../test/support/wasm-backend.ts";
import { EVERYTHING } from "../backends/capabilities.ts";
import type { Ops } from "../backends/ops.ts";
import { AttentionCache } from "./attention-cache.ts";

const SHAPE = { numLayers: 2, numHeads: 4, numKvHeads: 2, headDim: 16, threads: 1 } as const;
const [KEYS, QUERIES] = [2 * 16, 4 * 16];

/** Softmax attention of the last query over all keys. k, v: [tokens][2][16] · q: [4][16] */
function attention(q: Float32Array, k: Float32Array, v: Float32Array, window = 0): Float32Array {
  const tokens = k.length / KEYS;
  const first = window === 0 ? 0 : Math.max(0, tokens - window);
  const out = new Float32Array(QUERIES);
  for (let head = 0; head < 4; head++) {
    const kv = (head >> 1) * 16;
    const scores = Array.from({ length: tokens - first }, (_, i) => {
      let dot = 0;
      for (let d = 0; d < 16; d++) dot += q[head * 16 + d]! * k[(first + i) * KEYS + kv + d]!;
      return dot / 4;
    });
    const most = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - most));
    const sum = weights.reduce((a, b) => a + b);
    weights.forEach((weight, i) => {
      for (let d = 0; d < 16; d++) out[head * 16 + d]! += (weight / sum) * v[(first + i) * KEYS + kv + d]!;
    });
  }
  return out;
}

describe.each(["reference", "wasm"] as const)("on %s", (backend) => {
  it.each([
    ["f16", 0, 0.002],
    ["k8v8,window=8", 0, 0.02],
    ["k4v4,window=8", 24, 0.2],
  ] as const)("%s, window %d: tokens one by one and in a chunk", async (kv, slidingWindow, limit) => {
    await using cache = await AttentionCache.create({ ...SHAPE, backend, kv, slidingWindow });
    const sequence = cache.createSequence();
    const tokens = 100;
    const [k, v, q] = [gaussians(1, tokens * KEYS), gaussians(2, tokens * KEYS), gaussians(3, tokens * QUERIES)];
    const rows = (x: Float32Array, from: number, to: number, width: number) => x.subarray(from * width, to * width);
    for (let at = 0; at < tokens; ) {
      const next = at === 0 ? 70 : at + 1;
      for (const layer of [1, 0]) {
        sequence.append(layer, rows(k, at, next, KEYS), Array.from(rows(v, at, next, KEYS)));
        const out = await sequence.attend(layer, rows(q, at, next, QUERIES));
        expect(out).toHaveLength((next - at) * QUERIES);
        const [own, all] = [rows(q, next - 1, next, QUERIES), [k, v].map((x) => rows(x, 0, next, KEYS))];
        const expected = attention(own, all[0]!, all[1]!, slidingWindow);
        expect(relativeError(out.subarray(-QUERIES), expected), `token ${next - 1}`).toBeLessThan(limit);
      }
      at = next;
    }
    expect(sequence.length).toBe(tokens);
    sequence.release();
    expect(cache.numBytes).toBe(0);
  });
});

describe("sequences", () => {
  let cache: AttentionCache;
  beforeAll(async () => {
    cache = await AttentionCache.create({ ...SHAPE, backend: "reference", kv: "k4v4,window=8" });
  });
  afterAll(() => cache.dispose());
  const one = (seed: number) => [gaussians(seed, KEYS), gaussians(seed + 1, KEYS)] as const;
  const pass = (sequence: ReturnType<AttentionCache["createSequence"]>, seed: number) => {
    for (let layer = 0; layer < 2; layer++) sequence.append(layer, ...one(seed + 10 * layer));
  };

  it("forks share pages, and a cut goes back", async () => {
    const sequence = cache.createSequence();
    for (let i = 0; i < 20; i++) pass(sequence, i);
    const before = cache.numBytes;
    const fork = sequence.fork();
    expect(cache.numBytes).toBe(before);
    const q = gaussians(99, QUERIES);
    pass(sequence, 50);
    pass(fork, 50);
    expect(await fork.attend(0, q)).toEqual(await sequence.attend(0, q));
    expect(sequence.cutTo(21)).toBe(21);
    expect(sequence.cutTo(0)).toBe(0);
    for (const each of [sequence, fork]) each.release();
    expect(cache.numBytes).toBe(0);
  });

  it("says what was done in the wrong order", async () => {
    const sequence = cache.createSequence();
    await expect(sequence.attend(0, gaussians(1, QUERIES))).rejects.toThrow("layer 0 has not appended in this pass");
    sequence.append(0, ...one(1));
    expect(() => sequence.append(0, ...one(2))).toThrow("layer 0 has these tokens already, and 1 of 2 layers have not");
    expect(() => sequence.append(1, gaussians(1, 2 * KEYS), gaussians(2, 2 * KEYS))).toThrow(
      "expected the 1 tokens of this pass's other layers, got 2",
    );
    expect(() => sequence.fork()).toThrow("1 of 2 layers have appended; end the pass first");
    expect(() => sequence.append(2, ...one(1))).toThrow("layer: expected 0 to 1, got 2");
    expect(() => sequence.append(1, gaussians(1, 5), gaussians(2, 5))).toThrow(
      "expected 32 numbers of keys and 32 of values",
    );
    await expect(sequence.attend(0, gaussians(1, 3))).rejects.toThrow("expected 64 numbers, of 1 tokens, got 3");
    sequence.release();
  });

  it.each([
    [{ numHeads: 3 }, "numHeads: expected a multiple of numKvHeads (2), got 3"],
    [{ numLayers: 0 }, "numLayers: expected a whole number of at least 1, got 0"],
    [{ headDim: 12 }, "head_dim: expected a multiple of 8"],
    [{ kv: "k4v4,calibration=mine" }, "expected a format without a calibration"],
    [{ kv: "auto" }, "nothing makes room here"],
    [
      { backend: { name: "small", capabilities: { ...EVERYTHING, maxHeadDim: 8 } } as unknown as Ops },
      "the small backend",
    ],
    [{ heads: 4 }, "unknown option heads; did you mean numHeads?"],
  ])("%j is refused", async (options, message) => {
    await expect(AttentionCache.create({ ...SHAPE, backend: "reference", ...options })).rejects.toThrow(message);
  });
});
