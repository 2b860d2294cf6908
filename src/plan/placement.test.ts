import fc from "fast-check";
import { expect, it } from "vitest";
import { numMemories } from "../models/placement.ts";
import { placeParts } from "./placement.ts";

const part = fc.integer({ min: 0, max: 1000 });
/** Weights that some of the first twelve layers have in common. */
const anyShared = fc.array(
  fc.record({ bytes: part, layers: fc.uniqueArray(fc.nat(11), { minLength: 1, maxLength: 4 }) }),
  { maxLength: 3 },
);
const anyParts = fc.record({
  shared: anyShared,
  embedding: part,
  layers: fc.array(part, { minLength: 1, maxLength: 12 }),
  head: part,
  isTied: fc.boolean(),
  each: fc.integer({ min: 0, max: 100 }),
});

it("no memory holds more than it can, none could be left out, and none is fuller than the evenest cut makes it", () => {
  fc.assert(
    fc.property(
      anyParts,
      fc.integer({ min: 100, max: 4000 }),
      fc.integer({ min: 1, max: 5 }),
      (parts, bytes, count) => {
        const { embedding, layers, head, isTied, each } = parts;
        const shared = parts.shared.map((own) => ({ ...own, layers: own.layers.filter((i) => i < layers.length) }));
        const usedBy = (memories: readonly number[]): number[] => {
          const used = Array.from({ length: Math.max(0, ...memories) + 1 }, () => each);
          [embedding, ...layers, head].forEach((part, i) => {
            used[memories[i]!]! += part;
          });
          for (const own of shared)
            for (const memory of new Set(own.layers.map((layer) => memories[layer + 1]!))) used[memory]! += own.bytes;
          return used;
        };
        // All cuts of the chain, one after the other.
        let fewest = Number.POSITIVE_INFINITY;
        let evenest = Number.POSITIVE_INFINITY;
        const cuts = isTied ? layers.length : layers.length + 1;
        for (let cut = 0; cut < 2 ** cuts; cut++) {
          const memories = [0];
          for (let i = 0; i < cuts; i++) memories.push(memories.at(-1)! + ((cut >> i) & 1));
          if (isTied) memories.push(0);
          const used = usedBy(memories);
          if (Math.max(...used) > bytes || used.length > fewest) continue;
          evenest = Math.min(used.length < fewest ? Number.POSITIVE_INFINITY : evenest, Math.max(...used));
          fewest = used.length;
        }
        const placed = placeParts({ ...parts, shared }, { bytes, count });
        if (fewest > count) {
          expect(placed).toBeNull();
          return;
        }
        expect(numMemories(placed!)).toBe(fewest);
        expect(Math.max(...usedBy([0, ...placed!.layers, placed!.head]))).toBe(evenest);
      },
    ),
    { seed: 20260102, numRuns: 100 },
  );
});

it("one memory without a limit holds everything", () => {
  const parts = { embedding: 1e12, layers: [1, 2], head: 3, isTied: false, each: 4 };
  expect(placeParts(parts, { bytes: Number.POSITIVE_INFINITY, count: 1 })).toEqual({ layers: [0, 0], head: 0 });
});

it("layers that read each other's keys and values lie in one memory", () => {
  const parts = { embedding: 10, layers: [40, 40, 40, 40, 40], head: 5, isTied: true, each: 10 };
  const memories = { bytes: 150, count: 4 };
  expect(placeParts(parts, memories)?.layers).toEqual([0, 0, 1, 1, 1]);
  expect(placeParts({ ...parts, together: { first: 1, last: 3 } }, memories)?.layers).toEqual([0, 1, 1, 1, 2]);
  expect(placeParts({ ...parts, together: { first: 0, last: 4 } }, memories), "no memory holds them").toBeNull();
});
