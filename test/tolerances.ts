/** @file Every numeric tolerance of the tests, with its metric and its reason. */

export const tolerance = {
  goldenLogits: { metric: "absolute", max: 2e-3, why: "f32 sums in another order through up to eight layers, logits up to 40" },
  goldenLogitNorm: { metric: "relative", max: 1e-4, why: "as above, averaged over the vocabulary" },
} as const;
