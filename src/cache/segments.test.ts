import { describe, expect, it } from "vitest";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { KvCache } from "./kv-cache.ts";
import { MemoryPageStorage } from "./memory-storage.ts";
import { PagePool } from "./page-pool.ts";
import { bytesOfSegments, segmentsOf } from "./segments.ts";

const SHAPE = { numKvHeads: 2, headDim: 64 };

/** A sequence of `tokens` tokens in two layers, taken one by one. */
function fill(kv: string, tokens: number) {
  const spec = parseKvSpec(kv);
  const cache = new KvCache([SHAPE, SHAPE], (layer) => spec.forLayer(layer), new PagePool(new MemoryPageStorage()));
  const sequence = cache.createSequence();
  for (let i = 0; i < tokens; i++) {
    sequence.reserve(1);
    sequence.commit(1);
  }
  return sequence;
}

describe("segmentsOf", () => {
  it.each([
    "f16",
    "k4v4",
    "k3v5",
    "k8v2",
    "paper-4",
    "paper-4+qjl",
    "q8_0",
    "q4_0r",
    "k4v4,sinks=20,window=0",
    "k4v4,layers=0:f16",
    "k4v4,window=16bit",
    "k4v4,window=32",
    "tiers=8:32,4:64,3",
  ])("%s: the parts add up to what is allocated, at any length", (kv) => {
    for (const tokens of [0, 1, 17, 64, 65, 300]) {
      const sequence = fill(kv, tokens);
      const sum = segmentsOf(sequence).reduce((all, layer) => all + bytesOfSegments(layer), 0);
      expect(sum).toBe(sequence.numBytes);
    }
  });

  it("tells codes from scales, and from sinks and window of either width", () => {
    const [layer] = segmentsOf(fill("k4v4,window=16bit", 1000));
    // 16 pages of 64 tokens, K and V of two heads: 32 B of codes and 2 B of scale a vector.
    expect(layer!.codes).toBe(16 * 64 * 4 * 32);
    expect(layer!.scales).toBe(16 * 64 * 4 * 2);
    // 16-bit pages of 16 tokens, 256 B a vector pair and head: 1 of sinks; 128 tokens back from 1000 begin in page 54 of 62.
    expect(layer!.sinks).toBe(16 * 4 * 128);
    expect(layer!.bits).toBe(16);
    expect(layer!.window).toBe((Math.ceil(1000 / 16) - Math.floor((1000 - 127) / 16)) * 16 * 4 * 128);
    // Rows of 8 bits take 66 B. Of 1000 tokens 857 have left the 144 of the window, whose oldest is in page 53 of 62, and have codes.
    const [eight] = segmentsOf(fill("k4v4", 1000));
    expect(eight!.codes).toBe(Math.ceil(857 / 64) * 64 * 4 * 32);
    expect(eight!.scales).toBe(Math.ceil(857 / 64) * 64 * 4 * 2);
    expect(eight!.sinks).toBe(16 * 4 * 66);
    expect(eight!.bits).toBe(8);
    expect(eight!.window).toBe((63 - 53) * 16 * 4 * 66);
    const [plain] = segmentsOf(fill("f16", 64));
    expect(plain).toEqual({ layer: 0, codes: 64 * 4 * 128, scales: 0, sinks: 0, window: 0, state: 0 });
  });

  it("tells how much of a cache with tiers has grown coarser", () => {
    const of = (tokens: number) => segmentsOf(fill("tiers=4:128,2", tokens))[0]!.coarser;
    expect(of(100)).toBe(0);
    // Of 300 tokens two pages are behind 128 newer ones: K and V of two heads, 16 B of codes and 2 B of scale a vector.
    expect(of(300)).toBe(2 * 64 * 4 * 18);
    expect(segmentsOf(fill("k4v4", 300))[0]).not.toHaveProperty("coarser");
  });

  it("names layers as the model does, and tells states that do not grow", () => {
    const f16 = parseKvSpec("f16").forLayer(0);
    const shapes = [{ kind: "recurrent", numBytes: 40 } as const, SHAPE, { kind: "recurrent", numBytes: 24 } as const];
    const cache = new KvCache(
      shapes,
      () => f16,
      new PagePool(new MemoryPageStorage()),
      undefined,
      (i) => [1, 4, 4][i]!,
    );
    const sequence = cache.createSequence();
    sequence.reserve(3);
    sequence.commit(3);
    expect(segmentsOf(sequence)).toEqual([
      { layer: 1, codes: 0, scales: 0, sinks: 0, window: 0, state: 40 },
      { layer: 4, codes: 64 * 4 * 128, scales: 0, sinks: 0, window: 0, state: 24 },
    ]);
  });
});
