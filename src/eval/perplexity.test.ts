import { expect, it } from "vitest";
import { perplexity, perplexityRatio } from "./perplexity.ts";

it("perplexity of a uniform guess among n is n", () => {
  expect(perplexity([Math.log(50), Math.log(50)])).toBeCloseTo(50, 12);
  // Geometric mean of 2 and 8.
  expect(perplexity([Math.log(2), Math.log(8)])).toBeCloseTo(4, 12);
});

it("ratio and paired standard error, by hand", () => {
  // Differences 0.1, 0.3: mean 0.2, sample variance 0.02, error of the mean √(0.02 / 2) = 0.1.
  const { ratio, standardError } = perplexityRatio([1, 5], [1.1, 5.3]);
  expect(ratio).toBeCloseTo(Math.exp(0.2), 12);
  expect(standardError).toBeCloseTo(Math.exp(0.2) * 0.1, 12);
});

it("what both sides share adds no error", () => {
  expect(perplexityRatio([1, 9, 4], [1.5, 9.5, 4.5]).standardError).toBeCloseTo(0, 12);
  expect(perplexityRatio([1], [2]).standardError).toBeNaN();
});
