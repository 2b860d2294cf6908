/** What is looked up: the longest repetition, the latest of equals, as much as is asked for. */
import { expect, it } from "vitest";
import { lookUp, PromptLookup } from "./prompt-lookup.ts";

const RANGE = { max: 3, min: 2 };

it("what followed the same tokens further up follows again", () => {
  expect(lookUp([1, 2, 3, 4, 5, 9, 1, 2], RANGE, 3)).toEqual([3, 4, 5]);
  expect(lookUp([1, 2, 3, 4, 5, 9, 1, 2], RANGE, 1)).toEqual([3]);
});

it("the longest repetition comes before later ones, and the latest of those that are as long", () => {
  expect(lookUp([7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2], RANGE, 1)).toEqual([3]);
  expect(lookUp([7, 1, 2, 3, 7, 1, 2, 4, 7, 1, 2], RANGE, 1)).toEqual([4]);
  // Beyond `max` tokens nothing is longer.
  expect(lookUp([6, 7, 1, 2, 3, 5, 7, 1, 2, 4, 6, 7, 1, 2], RANGE, 1)).toEqual([4]);
});

it("fewer than `min` equal tokens are none", () => {
  expect(lookUp([1, 2, 3, 9, 2], RANGE, 4)).toEqual([]);
  expect(lookUp([1, 2, 3, 9, 2], { max: 3, min: 1 }, 2)).toEqual([3, 9]);
  for (const tokens of [[], [1], [1, 2]]) expect(lookUp(tokens, RANGE, 4)).toEqual([]);
});

it("a repetition that reaches the end goes on as a cycle", () => {
  expect(lookUp([1, 2, 3, 1, 2, 3, 1], RANGE, 7)).toEqual([2, 3, 1, 2, 3, 1, 2]);
  expect(lookUp([5, 5, 5], RANGE, 3)).toEqual([5, 5, 5]);
});

it("as a source", async () => {
  expect(await new PromptLookup(RANGE).propose([1, 2, 3, 1, 2], 1)).toEqual([3]);
});
