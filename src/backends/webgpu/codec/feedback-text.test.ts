import { expect, it } from "vitest";
import { feedbackLanes } from "./feedback-text.ts";

it("lanes exchange values where 64 bits hold their votes", () => {
  expect([0, 2, 4, 8, 16, 32, 64, 128].map((subgroup) => feedbackLanes(subgroup, 128))).toEqual([
    0, 0, 4, 8, 16, 32, 64, 0,
  ]);
});
