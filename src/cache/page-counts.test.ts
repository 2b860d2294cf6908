/** @file The closed form against sequences that are really filled. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { KvCache } from "./kv-cache.ts";
import { layerCache } from "./layer-cache.ts";
import { MemoryPageStorage } from "./memory-storage.ts";
import { bytesOf, pagesAtRest, pagesHeld } from "./page-counts.ts";
import { PagePool } from "./page-pool.ts";
import type { LayerShape } from "./states/state-shape.ts";
import { isPressed } from "./states/tiers.ts";

/**
 * Bytes of one sequence after a prefill in steps, and the most pages of a layer's streams while it ran; and its bytes once memory was so short
 * that all pages have grown as coarse as they can.
 */
function filled(kv: string, shape: LayerShape, tokens: number, chunk: number) {
  const spec = parseKvSpec(kv);
  const shapes = Array.from({ length: 3 }, () => shape);
  const cache = new KvCache(shapes, (layer) => spec.forLayer(layer), new PagePool(new MemoryPageStorage()));
  const sequence = cache.createSequence();
  const held = { main: 0, residual: 0, tiers: cache.layers[2]!.tiers.map(() => 0) };
  while (sequence.length < tokens) {
    const count = Math.min(chunk, tokens - sequence.length);
    sequence.reserve(count);
    held.main = Math.max(held.main, sequence.main(2).entries().filter(Boolean).length);
    held.residual = Math.max(held.residual, sequence.residual(2).entries().filter(Boolean).length);
    for (const [tier, table] of sequence.tiers(2).entries()) {
      held.tiers[tier] = Math.max(held.tiers[tier]!, table.entries().filter(Boolean).length);
    }
    sequence.commit(count);
  }
  expect(sequence.numBytes).toBe(cache.numBytes);
  const rest = cache.numBytes;
  for (const [layer, { tiers }] of cache.layers.entries()) {
    const state = sequence.kv(layer);
    for (const tier of tiers.keys()) {
      if (!isPressed(tiers.at(-1)!)) continue;
      const { first, end } = state.coarsenable(tier, 0);
      for (let page = first; page < end; page++) state.coarsen(tier, () => {}, new Map());
    }
  }
  return { rest, held, pressed: cache.numBytes };
}

function planned(kv: string, shape: LayerShape, tokens: number, chunk: number) {
  const spec = parseKvSpec(kv);
  const layers = [0, 1, 2].map((layer) => layerCache(spec.forLayer(layer), shape));
  return {
    rest: layers.reduce((total, layer) => total + bytesOf(layer, pagesAtRest(layer, tokens)), 0),
    held: pagesHeld(layers[2]!, tokens, chunk),
  };
}

const FORMATS = [
  "f16",
  "f32",
  "q8_0",
  "q4_0r",
  "k4v4",
  "k5v3",
  "k1v8",
  "paper-3",
  "paper-3+qjl",
  "paper-4,v=f16",
  "k4v4,layers=0-1:k8v8",
  "k3v3,sinks=0",
  "k3v3,window=0",
  "k2v2,sinks=17,window=1,window=16bit",
  "k2v2,sinks=100,window=40,window=16bit",
  "k7v6,sinks=0,window=0,layers=1:f16",
  "k4v4,window=16bit",
  "k3v2,sinks=17,window=1,window=8bit",
  "k3v3,sinks=100,window=40,window=8bit",
  "tiers=8:40,4:100,3",
  "tiers=4:1,3:1,2,layers=1:k8v8",
  "k3v3,window=0,window=8bit",
];
const LENGTHS = [1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 143, 144, 145, 200, 255, 256, 257, 511, 777];

describe("pages in closed form", () => {
  it.each([0, 1, 40, 64, 130])("equal the allocator's over formats and lengths, sliding window %i", (slidingWindow) => {
    const shape = { numKvHeads: 2, headDim: 8, slidingWindow };
    for (const kv of FORMATS) {
      for (const tokens of LENGTHS) {
        const { rest, held } = filled(kv, shape, tokens, 64);
        expect({ kv, tokens, rest, held }).toEqual({ kv, tokens, ...planned(kv, shape, tokens, 64) });
      }
    }
  });

  it.each(["auto", "tiers=8:40,4:100,3:auto,2", "tiers=8:300,4:auto,2", "tiers=16:20,k8v7:64,k5v4:auto,k3v2"])(
    "of %s are those of a sequence whose pages have all yielded, none of them in two tiers",
    (kv) => {
      const shape = { numKvHeads: 2, headDim: 8 };
      for (const tokens of LENGTHS) {
        const { pressed } = filled(kv, shape, tokens, 64);
        expect({ tokens, bytes: planned(kv, shape, tokens, 64).rest }).toEqual({ tokens, bytes: pressed });
      }
    },
  );

  it("for any window, sinks, length, step and head_dim", () => {
    const cases = fc.record({
      sinks: fc.integer({ min: 0, max: 90 }),
      window: fc.integer({ min: 0, max: 200 }),
      bits: fc.constantFrom(8, 16),
      tokens: fc.integer({ min: 1, max: 700 }),
      chunk: fc.constantFrom(1, 7, 16, 48, 64, 100, 256),
      headDim: fc.constantFrom(8, 24, 64, 80),
      numKvHeads: fc.integer({ min: 1, max: 3 }),
      slidingWindow: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 300 })),
    });
    fc.assert(
      fc.property(cases, ({ sinks, window, bits, tokens, chunk, headDim, numKvHeads, slidingWindow }) => {
        const kv = `k3v5,sinks=${sinks},window=${window},window=${bits}bit`;
        const real = filled(kv, { headDim, numKvHeads, slidingWindow }, tokens, chunk);
        const plan = planned(kv, { headDim, numKvHeads, slidingWindow }, tokens, chunk);
        expect(plan.rest).toBe(real.rest);
        // Steps that are no multiple of a page may have had a page more at an earlier boundary.
        const isAligned = chunk % 64 === 0 || (slidingWindow === 0 && chunk % 16 === 0);
        if (isAligned) expect(plan.held).toEqual(real.held);
        else if (slidingWindow === 0) {
          expect(plan.held.main).toBe(real.held.main);
          expect(real.held.residual - plan.held.residual).toBeOneOf([0, 1]);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("with a window of 8 bits take fewer bytes than in f16 at any length", () => {
    const bytesAt = (kv: string, headDim: number, tokens: number): number => {
      const layer = layerCache(parseKvSpec(kv).forLayer(0), { numKvHeads: 1, headDim });
      return bytesOf(layer, pagesAtRest(layer, tokens));
    };
    for (const headDim of [64, 128]) {
      for (const kv of ["k7v7", "k4v4", "k2v2"]) {
        for (const more of ["window=128", "window=32", "window=16,sinks=16", "window=1,sinks=0"]) {
          for (let tokens = 1; tokens < 700; tokens++) {
            const [own, halves] = [`${kv},${more},window=8bit`, "f16"].map((each) => bytesAt(each, headDim, tokens));
            if (own! >= halves!) expect.fail(`${kv},${more}: ${tokens} tokens of ${headDim} take ${own} bytes`);
          }
        }
      }
    }
    // A conversation of 140 tokens, which took more bytes than in f16 with its window in 16 bit beside the codes.
    expect(bytesAt("k4v4,window=16bit", 64, 140)).toBeGreaterThan(bytesAt("f16", 64, 140));
    expect(bytesAt("k4v4", 64, 140)).toBeLessThan(0.75 * bytesAt("f16", 64, 140));
  });
});
