/** How long drafts are: as long as they have been right, and none for a while where they are wrong. */
import { expect, it } from "vitest";
import type { RowDraw } from "../step-loop/step-loop.ts";
import { Speculator } from "./speculator.ts";

const draw: RowDraw = { draw: null, completionTokens: 1, uniform: () => 0, left: (length) => 1000 - length };

/** Lengths of the drafts of steps. right: how many tokens of each draft are right */
async function lengths(right: (drafted: number) => number, steps: number, most = 8): Promise<number[]> {
  const speculator = new Speculator(
    { propose: async (_, count) => Array.from({ length: count }, () => 5), release() {} },
    most,
    10,
  );
  const all: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { length } = await speculator.propose([1, 2, 3], draw, () => true);
    all.push(length);
    speculator.onDrafted(length);
    for (let i = 0; i < right(length); i++) speculator.onAccepted();
  }
  return all;
}

it("drafts that are right grow", async () => {
  expect(await lengths((drafted) => drafted, 4)).toEqual([4, 8, 8, 8]);
  expect(await lengths((drafted) => drafted, 3, 3)).toEqual([3, 3, 3]);
});

it("drafts that are right to a point end behind it", async () => {
  expect(await lengths((drafted) => Math.min(2, drafted), 4)).toEqual([4, 3, 3, 3]);
  expect(await lengths((drafted) => Math.min(1, drafted), 4)).toEqual([4, 2, 2, 2]);
});

it("drafts that are wrong become short, then rare, but never end", async () => {
  const all = await lengths(() => 0, 200);
  expect(all.slice(0, 12)).toEqual([4, 2, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0]);
  expect(all.slice(100).reduce((sum, length) => sum + length, 0)).toBeGreaterThanOrEqual(5);
  expect(all.slice(100).filter((length) => length > 0).length).toBeLessThan(7);
});

it("none where the answer ends, or without room", async () => {
  const speculator = new Speculator({ propose: async () => [5, 5, 5, 5], release() {} }, 8, 10);
  const left = (count: number): RowDraw => ({ ...draw, left: () => count });
  expect(await speculator.propose([1], left(1), () => true)).toEqual([]);
  expect(await speculator.propose([1], left(3), () => true)).toEqual([5, 5]);
  expect(await speculator.propose([1], left(9), (count) => count < 5)).toEqual([]);
  expect(await speculator.propose([1], left(9), (count) => count < 6)).toEqual([5, 5, 5, 5]);
  expect(await speculator.propose([1], left(9), (count) => count < 6, 2)).toEqual([5, 5]);
  expect(await speculator.propose([1], left(9), () => true, 0)).toEqual([]);
});
