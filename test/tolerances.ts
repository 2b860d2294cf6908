/** @file Every numeric tolerance of the tests, with its metric and its reason. */

export const tolerance = {
  goldenLogits: {
    metric: "absolute",
    max: 2e-3,
    why: "f32 sums in another order through up to eight layers, logits up to 40",
  },
  goldenLogitNorm: { metric: "relative", max: 1e-4, why: "as above, averaged over the vocabulary" },
  attentionFloats: { metric: "1 − cos, and relative length squared", max: 1e-10, why: "f32 sums against f64" },
  attentionCodes: {
    metric: "1 − cos, and relative length squared",
    max: 2e-6,
    why: "int16 centroids (step 1/2047 of the largest), queries and weights; up to 5 bits",
  },
  attentionWideCodes: {
    metric: "1 − cos, and relative length squared",
    max: 5e-6,
    why: "7 and 8 bits follow the codebook by straight segments: 3e-7 of a vector at 8 bits, more where outputs cancel",
  },
  attentionWideCalibrated: {
    metric: "1 − cos, and relative length squared",
    max: 1e-5,
    why: "as attentionWideCodes; the inverse of a calibration's map takes outputs back and stretches their error: about twice the uncalibrated case in each shape measured",
  },
  attentionWidePairs: {
    metric: "1 − cos, and relative length squared",
    max: 2e-5,
    why: "as attentionWideCodes; the worst of a hundred thousand outputs, of short heads too: 1e-5 measured",
  },
  attentionGpu: {
    metric: "1 − cos, and relative length squared",
    max: 1e-6,
    why: "f32 sums; centroids of up to five bits lie in tables as f16 (2.4e-4 of each, 6e-8 squared)",
  },
  attentionHalf: {
    metric: "1 − cos, and relative length squared",
    max: 1e-5,
    why: "queries, weights and sums of sixteen keys in f16",
  },
  attentionMatrices: {
    metric: "1 − cos, and relative length squared",
    max: 1e-5,
    why: "queries, keys, weights and values in f16, sums in f32",
  },
  attentionMatricesSharp: {
    metric: "1 − cos, and relative length squared",
    max: 4e-4,
    why: "as above, where scores of up to 80 move by what f16 rounds queries and keys: in thirty draws of 300 rows in f64, with these alone rounded, the worst row was off by 3e-5 to 2.3e-4",
  },
  attentionBatch: {
    metric: "relative length of the difference",
    max: 1e-3,
    why: "as attentionCodes and attentionWideCodes, over all heads; RoPE in f64 may move a code to its neighbour",
  },
  chosenTokens: {
    metric: "share of the chosen tokens that are others",
    max: 0.01,
    why: "scores in another order of sums, or from int16 queries, swap two tokens about the last place that is chosen; scores that are exact: none",
  },
  pageBytes: {
    metric: "share of bytes that differ",
    max: 1e-4,
    why: "a device that rounds a sum or a root otherwise moves a coordinate on the edge of a cell; SwiftShader: none, and there none is allowed",
  },
  perplexity: {
    metric: "relative, of two backends over the exact cache, on 96 tokens",
    max: 1e-4,
    why: "f32 sums in another order: 1e-5 measured",
  },
  perplexityCodes: {
    metric: "relative, of two backends over k4v4, on 96 tokens",
    max: 0.02,
    why: "a coordinate on the edge of a cell gets the neighbouring code, and what follows differs by a part of the format's own noise: 0.6 % measured, and 1.2 % between wasm and the reference",
  },
  divergence: {
    metric: "relative, mean KL divergence from the exact cache of two backends over k4v4, on 96 tokens",
    max: 0.3,
    why: "as perplexityCodes: 12 % measured between wasm and the reference",
  },
  prefillDecode: {
    metric: "relative length of the difference",
    max: 1e-4,
    why: "int16 weights are rounded by tiles of other bounds, f32 sums split elsewhere; outputs cancel to a tenth of a value",
  },
  attentionGpuCodes: {
    metric: "1 − cos, and relative length squared",
    max: 5e-6,
    why: "centroids of up to five bits are rounded to f16 (5e-4): 1e-7 of an output, more where values cancel or head_dim is 8",
  },
  codebookTable: {
    metric: "squared error / distortion",
    max: 0.02,
    why: "segments of 8 levels at 8 bits cost 1.5 %; 0.1 % at 7 bits, rounding to int16 below",
  },
  linearFloat: {
    metric: "length of the difference, relative to the products or to what products of random signs come to",
    max: 1e-6,
    why: "f32 sums of up to 2,083 products against f64: about 3e-7",
  },
  linearHalf: {
    metric: "as linearFloat",
    max: 5e-4,
    why: "matrix units: activations, and weights that are not f16, rounded to f16: 2^-11 at most, 1.7e-4 rms each. Weights of f16, and codes with scales, go there from five rows on, others from nine on",
  },
  linearQ8: {
    metric: "as linearFloat",
    max: 1e-4,
    why: "activations rounded to int16 of the row's peak: 3e-5 / √12 of it for each, a peak being 3 to 4 times the rms",
  },
  elementwise: {
    metric: "relative length of the difference",
    max: 5e-7,
    why: "a few f32 roundings; exp is good to 2e-7",
  },
  activation: {
    metric: "length of the difference, over that of the result or √n, whichever is longer",
    max: 2e-6,
    why: "a few f32 roundings of terms that cancel in part; erf is good to 1.5e-7",
  },
  deltaRule: {
    metric: "relative length of the difference, of outputs and of states",
    max: 2e-5,
    why: "f32 sums over up to 200 tokens, in another order where rows are computed together; exponents are sums of logarithms",
  },
  deviceLogprob: { metric: "absolute", max: 2e-5, why: "f32 sum over the vocabulary, exp and log to a few ulp" },
  deviceDraw: {
    metric: "share of draws with another token than the host's",
    max: 1e-3,
    why: "f32 sums move each of up to 64 borders by about 1e-7 of the interval: expected below 1e-5",
  },
} as const;
