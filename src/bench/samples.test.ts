import { expect, it } from "vitest";
import { interleave, summarize } from "./samples.ts";

it("summary by hand", () => {
  // Quartiles of 1, 2, 3, 4, 10 are 2 and 4; mean 4; squares 9 + 4 + 1 + 0 + 36 over 4.
  expect(summarize([10, 2, 1, 4, 3])).toEqual({
    median: 3,
    min: 1,
    max: 10,
    mean: 4,
    sd: Math.sqrt(12.5),
    spread: 2 / 3,
  });
  expect(summarize([7])).toEqual({ median: 7, min: 7, max: 7, mean: 7, sd: 0, spread: 0 });
});

it("interleave takes one sample of each in turn", async () => {
  const order: string[] = [];
  const samples = await interleave(["a", "b"], 3, async (subject) => order.push(subject));
  expect(order.join("")).toBe("ababab");
  expect(samples).toEqual([
    [1, 3, 5],
    [2, 4, 6],
  ]);
});
