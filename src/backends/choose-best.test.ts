/** @file The choice of the best scores against sorting all of them. */
import { expect, it } from "vitest";
import { gaussians } from "../../test/support/wasm-backend.ts";
import { ChoiceScratch, chooseBest, chooseBlocks } from "./choose-best.ts";

const scratch = new ChoiceScratch();

function chosen(scores: Float32Array, count: number): number[] {
  const positions = new Float32Array(count);
  chooseBest(scores, count, positions, scratch);
  return [...positions];
}

function sorted(scores: Float32Array, count: number): number[] {
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b);
  return order.slice(0, count).sort((a, b) => a - b);
}

it("takes the largest, in order", () => {
  for (const length of [2, 3, 17, 300]) {
    for (const count of [1, 2, Math.ceil(length / 2), length - 1]) {
      const scores = gaussians(length, length);
      expect(chosen(scores, count), `${count} of ${length}`).toEqual(sorted(scores, count));
      const few = scores.map((value) => Math.max(0, Math.round(2 * value)));
      expect(chosen(few, count), `${count} of ${length}, many equal`).toEqual(sorted(few, count));
    }
  }
});

it("takes whole blocks by their best, the last ones always", () => {
  const blocks = { size: 3, count: 2, local: 1 };
  const positions = new Float32Array(6);
  chooseBlocks(Float32Array.of(0, 1, 0, 5, 0, 0, 0, 9, 0, -1), blocks, positions, scratch);
  expect([...positions]).toEqual([6, 7, 8, 9, -1, -1]);
  chooseBlocks(Float32Array.of(0, 1), blocks, positions, scratch);
  expect([...positions]).toEqual([0, 1, -1, -1, -1, -1]);
});

it("takes all where there are not more, and numbers before what is none", () => {
  expect(chosen(Float32Array.of(3, 1), 4)).toEqual([0, 1, -1, -1]);
  expect(chosen(Float32Array.of(Number.NaN, 1, Number.NaN, -5), 2)).toEqual([1, 3]);
  expect(chosen(new Float32Array(4).fill(Number.NaN), 2)).toEqual([0, 1]);
});
