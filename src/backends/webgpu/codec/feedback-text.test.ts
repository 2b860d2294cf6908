import { expect, it } from "vitest";
import { feedbackLanes } from "./feedback-text.ts";

it("lanes exchange values where 64 bits hold their votes", () => {
  expect([0, 2, 4, 8, 16, 32, 64, 128].map((subgroup) => feedbackLanes(subgroup, 128, 64))).toEqual([
    0, 0, 4, 8, 16, 32, 64, 0,
  ]);
});

it("a lane keeps sixteen coordinates at most", () => {
  expect(
    [64, 128, 512, 576].map((headDim) => [4, 8, 32].map((subgroup) => feedbackLanes(subgroup, 128, headDim))),
  ).toEqual([
    [4, 8, 32],
    [0, 8, 32],
    [0, 0, 32],
    [0, 0, 0],
  ]);
});
