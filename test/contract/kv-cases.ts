/**
 * @file Cases of the KV path that every backend goes through. Where a kernel is made for each format and shape, making it takes a
 * software GPU longer than the case: so the edges of what is only counted (lengths, windows, inputs, sequences of a step) share a few shapes, and each
 * of FORMATS stands for several things at once.
 */
import { CounterRng } from "../../src/math/rng.ts";
import { BEYOND_FLOAT16, type KvCase } from "../support/kv-case.ts";

export const BARE = "sinks=0,window=0";
const COPIES = "sinks=4,window=32,window=16bit";
/** Where it is only counted how many tokens there are: rows that are stored at once. */
const PLAIN = "search=off,rotation=none";

/**
 * Every type on either side, head dimensions 8 to 576, 1 to 71 query heads a KV head, each rotation, rule, calibration, kind of
 * copies. Each type is on either side attended by a token and by a prompt. Steps of at most four tokens need no kernels for prompts: enough where
 * only what is appended is a case of its own.
 */
export const FORMATS: readonly KvCase[] = [
  { kv: `k1v2,${BARE}`, headDim: 8, numHeads: 3, numKvHeads: 3, steps: [1, 62, 1, 1] },
  { kv: `q8_0,v=tq8,${COPIES}`, headDim: 16, numHeads: 8, numKvHeads: 2, steps: [63, 1, 4] },
  {
    kv: "k5v1,rotation=qr,scale=least-squares,window=16,sinks=1,window=16bit",
    headDim: 24,
    numHeads: 5,
    steps: [1, 40, 1],
  },
  { kv: "k2v6,window=16,sinks=0,window=16bit", headDim: 40, numHeads: 3, steps: [1, 1, 33, 1], calibrated: true },
  {
    kv: "k8v3,search=off,window=20,sinks=3,window=16bit",
    headDim: 40,
    numHeads: 6,
    numKvHeads: 2,
    steps: [1, 33, 1, 33, 3],
  },
  { kv: `k4v4,${COPIES}`, numHeads: 4, numKvHeads: 2, steps: [70, 1], calibrated: true },
  { kv: `k4v4,${PLAIN},v=q4_0r,${BARE}`, headDim: 32, numHeads: 14, numKvHeads: 2, steps: [17, 1], calibrated: true },
  { kv: "f16", steps: [300, 1], slidingWindow: 100 },
  { kv: "f16", steps: [199, 1, 1, 60], slidingWindow: 100, isChunked: true },
  { kv: "f32", steps: [1, 33, 1, 65, 2] },
  { kv: `q4_0r,v=tq2,${COPIES}`, numHeads: 3, steps: [66, 2] },
  {
    kv: "k6v7,rotation=none,window=16,sinks=2,window=16bit",
    headDim: 72,
    numHeads: 2,
    numKvHeads: 2,
    steps: [33, 1, 3],
  },
  { kv: `k2v2,k=f16,${BARE}`, headDim: 72, steps: [20, 1], calibrated: true },
  { kv: "k6v5,window=0,sinks=7,window=16bit", headDim: 80, steps: [66, 1] },
  { kv: `k7v3,v=q8_0,${COPIES}`, headDim: 96, steps: [5, 1, 65, 3] },
  { kv: `k3v2,feedback=off,${BARE}`, headDim: 128, numHeads: 4, numKvHeads: 2, steps: [9, 1], calibrated: true },
  // What subgroups store; as many coordinates are attended without them on a GPU in software.
  { kv: `k8v2,${BARE}`, headDim: 256, steps: [3, 1], pagesOnly: true },
  // More pairs of RoPE than invocations, signs that do not fit workgroup memory.
  { kv: "k3v4,window=4,sinks=2,window=16bit", headDim: 320, steps: [9, 1] },
  { kv: `k8v2,${BARE}`, headDim: 576, numHeads: 4, numKvHeads: 2, steps: [3, 1] },
  { kv: "f16", headDim: 576, steps: [9, 1], rope: true },
  // One query head more than a workgroup takes.
  { kv: "f16", headDim: 16, numHeads: 34, numKvHeads: 2, steps: [9, 1] },
  { kv: "f16", headDim: 16, numHeads: 71, steps: [1, 3] },
  { kv: `k4v4,${PLAIN},${BARE}`, headDim: 16, numHeads: 8, steps: [1, 3] },
];

/** For backends that need no kernel for each case: the same in other shapes, long heads among them. */
export const MORE_FORMATS: readonly KvCase[] = [
  { kv: `k2v3,transform=off,${BARE}`, numHeads: 4, numKvHeads: 2, steps: [4, 4, 4, 1], calibrated: true },
  { kv: "paper-4,v=f16", headDim: 128, steps: [33, 1, 65] },
  { kv: `q4_0r,v=tq2,${COPIES}`, numHeads: 7, steps: [66, 2] },
  {
    kv: "k8v4,rotation=qr,scale=norm,window=4,sinks=2,window=16bit",
    numHeads: 4,
    numKvHeads: 2,
    steps: [4, 4, 4, 1],
    calibrated: true,
  },
  {
    kv: `k4v4,${COPIES}`,
    headDim: 128,
    numHeads: 4,
    numKvHeads: 2,
    steps: [140, 1, 10],
    slidingWindow: 70,
    isChunked: true,
  },
  { kv: `k4v2,${BARE}`, headDim: 80, numHeads: 5, steps: [5, 1, 60, 2], calibrated: true },
  { kv: `k4v4,${COPIES}`, headDim: 128, numHeads: 4, numKvHeads: 2, steps: [140, 1, 2], slidingWindow: 100 },
  // More workgroup memory than most formats of heads of 256.
  { kv: "k8v2,window=20,sinks=3", headDim: 256, numHeads: 8, steps: [64, 1], calibrated: true },
  { kv: "k3v4,window=4,sinks=2,window=16bit", headDim: 320, steps: [9, 1], calibrated: true },
  { kv: `k8v2,${BARE}`, headDim: 576, numHeads: 4, numKvHeads: 2, steps: [9, 1] },
  // More query heads than a workgroup, a tile of a prompt or the scratch of a thread takes.
  { kv: "k4v4,sinks=1,window=1,window=16bit", headDim: 16, numHeads: 142, numKvHeads: 2, steps: [9, 1] },
  { kv: "k8v3,window=20,sinks=3,window=16bit", headDim: 40, numHeads: 6, numKvHeads: 2, steps: [1, 33, 1, 66, 3] },
  { kv: "k2v6,window=16,sinks=0,window=16bit", headDim: 40, numHeads: 3, steps: [1, 1, 100, 1], calibrated: true },
  { kv: "k6v5,window=0,sinks=7,window=16bit", headDim: 80, steps: [128, 1] },
];

/**
 * Values that are narrower or wider than keys, as MiMo V2 has them (192 and 128): each side has its own page arrays, rotation, codebook
 * and calibration.
 */
export const WIDTHS: readonly KvCase[] = [
  { kv: `k4v4,${COPIES}`, headDim: 48, valueDim: 32, numHeads: 4, numKvHeads: 2, steps: [70, 1, 3], valueScale: 0.75 },
  { kv: "k3v2,window=4,sinks=2,window=16bit", headDim: 24, valueDim: 40, steps: [1, 33, 1, 2], calibrated: true },
  { kv: "f16", headDim: 192, valueDim: 128, steps: [66, 1], slidingWindow: 24 },
];
/** The same for backends that need no kernel for each case. */
export const MORE_WIDTHS: readonly KvCase[] = [
  { kv: `k5v6,rotation=qr,${BARE}`, headDim: 40, valueDim: 16, steps: [4, 4, 1], numHeads: 3, calibrated: true },
  { kv: `k4v4,transform=off,${BARE}`, headDim: 16, valueDim: 64, steps: [4, 5, 1], calibrated: true },
  { kv: "f32", headDim: 8, valueDim: 72, numHeads: 2, numKvHeads: 2, steps: [33, 1, 65, 2], valueScale: 2 },
  { kv: `q4_0r,v=tq2,${COPIES}`, headDim: 72, valueDim: 24, numHeads: 7, steps: [66, 2, 1] },
  { kv: `q8_0,v=q8_0,${COPIES}`, headDim: 40, valueDim: 64, steps: [66, 1] },
  { kv: "k2v2,v=f16", headDim: 512, valueDim: 64, numHeads: 4, steps: [9, 1] },
  { kv: "k8v8", headDim: 64, valueDim: 576, steps: [9, 1, 3] },
  { kv: "paper-3+qjl", headDim: 40, valueDim: 24, steps: [20, 1] },
  { kv: "kivi-2", headDim: 72, valueDim: 32, numHeads: 4, numKvHeads: 2, steps: [100, 1, 60, 3] },
];

/** Latent attention: one row is key and value, the rotary part lies beside it. */
export const LATENTS: readonly KvCase[] = [
  { kv: `k4v4,${COPIES}`, headDim: 64, rotaryKeyDim: 16, numHeads: 3, steps: [70, 1, 3] },
  {
    kv: "k3v8,window=4,sinks=2,window=16bit",
    headDim: 24,
    rotaryKeyDim: 40,
    numHeads: 2,
    steps: [1, 33, 1, 2],
    rope: true,
  },
];
/** The same for backends that need no kernel for each case. */
export const MORE_LATENTS: readonly KvCase[] = [
  { kv: "f32", headDim: 32, rotaryKeyDim: 8, numHeads: 4, steps: [33, 1, 65, 2] },
  { kv: "f16", headDim: 72, rotaryKeyDim: 16, numHeads: 4, steps: [66, 1, 2] },
  { kv: `k8v8,${BARE}`, headDim: 512, rotaryKeyDim: 64, numHeads: 33, steps: [9, 1] },
  { kv: `k2v2,rotation=qr,${COPIES}`, headDim: 40, rotaryKeyDim: 32, numHeads: 2, steps: [66, 1, 5] },
  { kv: `q8_0,${COPIES}`, headDim: 64, rotaryKeyDim: 16, numHeads: 1, steps: [40, 1, 1] },
  { kv: "q4_0r,window=0,sinks=0", headDim: 72, rotaryKeyDim: 24, numHeads: 5, steps: [40, 1, 1] },
  {
    kv: `k5v5,${COPIES}`,
    headDim: 128,
    rotaryKeyDim: 64,
    numHeads: 2,
    steps: [
      [70, 3, 1],
      [1, 40, 2],
    ],
  },
  { kv: `k4v4,${COPIES}`, headDim: 64, rotaryKeyDim: 16, numHeads: 3, steps: [140, 1, 30], trimTo: 100 },
];

/**
 * Sums in the order of the coordinates. A scale is rounded to f16, which hides a last bit; so here the terms of a sum are ±2²⁴ in turn
 * beside u = 1: (1 + 2²⁴) − 2²⁴ is 0 in f32, (1 − 2²⁴) + 2²⁴ is 1, and sums in another order are other scales.
 */
export const SUMS: readonly KvCase[] = [8, 40, 64].map((headDim, n) => ({
  kv: `k4v4,transform=off,rotation=none,${BARE}${n % 2 ? "" : ",scale=norm-preserving"}`,
  headDim,
  numKvHeads: 2,
  steps: [1, 3, 4, 6],
  calibrated: true,
  pagesOnly: true,
  fill: (at) => 2 ** (8 + (Math.floor(at / headDim) % 7)),
  change: ({ calibration, transforms }) => {
    calibration!.keyMean.fill(0);
    calibration!.balance.fill(1);
    for (const side of ["k", "v"] as const) {
      const feedback = transforms[side].feedback!;
      for (let at = 0; at < feedback.length; at++) {
        const [j, i] = [Math.floor(at / headDim) % (headDim + 1), at % headDim];
        if (j === headDim) feedback[at] = 1 - (i % 2);
        else if (i > j) feedback[at] = j % 2 ? -(2 ** 24) : 2 ** 24;
      }
    }
  },
}));

/** What no GPU has kernels for: sketches, codebooks stopped early, KIVI. */
export const SLOW_FORMATS: readonly KvCase[] = [
  ...[2, 4, 8].map((bits) => ({ kv: `paper-${bits}+qjl`, headDim: 128, steps: [70, 1, 3] })),
  ...[8, 40, 512].map((projections) => ({ kv: `paper-4+qjl,qjl=${projections}`, steps: [70, 1, 3] })),
  { kv: "paper-3+qjl,qjl=72", numHeads: 4, numKvHeads: 2, headDim: 40, steps: [20, 1] },
  { kv: "paper-3+qjl", headDim: 576, steps: [9, 1] },
  ...[2, 8, 32, 33, 71].map((group) => ({ kv: "paper-2+qjl", headDim: 16, numHeads: group, steps: [5, 1] })),
  ...[2, 4, 5, 7].map((bits) => ({ kv: `paper-${bits},codebook=10`, steps: [70, 1] })),
  ...[1, 2, 3, 4, 5, 6, 7, 8].map((bits) => ({
    kv: `kivi-${bits}`,
    headDim: 72,
    numHeads: 4,
    numKvHeads: 2,
    steps: [1, 100, 1, 60, 3, 130],
  })),
  ...[8, 264, 512, 576].map((headDim) => ({ kv: "kivi-2", headDim, steps: [33, 1, 66] })),
  ...[1, 3, 8, 31, 32, 33, 71].map((group) => ({
    kv: "kivi-4",
    headDim: 16,
    numHeads: group * 2,
    numKvHeads: 2,
    steps: [35, 1, 5],
  })),
  { kv: "kivi-4,v=tq4,window=80,sinks=3", headDim: 128, steps: [200, 1, 1] },
  { kv: "kivi-4,k=q8_0", headDim: 128, steps: [150, 1] },
  // Back into a page whose first copies are gone: it is filled again from its codes.
  { kv: "kivi-4", steps: [250, 40], trimTo: 150 },
];

const kvs = [`k4v4,${PLAIN},${BARE}`, `k4v4,${PLAIN},${COPIES}`];

/** Pages of 64, copies of 16, tiles of 32 keys, passes of 128: as a prompt, then a token, which makes whole ones of what one less filled. */
const lengths = (specs: readonly string[], counts: readonly number[]): KvCase[] =>
  counts.flatMap((n) => specs.map((kv) => ({ kv, steps: [n, 1] })));

export const LENGTHS: readonly KvCase[] = lengths(kvs, [1, 2, 31, 32, 33, 64, 65, 127, 128]);
/** As many rows of a prompt take a GPU in software seconds; there single tokens alone are attended by so many keys. */
export const LONG_LENGTHS: readonly KvCase[] = [{ kv: kvs[1]!, steps: [1000, 1] }];
/** For backends that are faster: codes as they usually are. */
export const MORE_LENGTHS: readonly KvCase[] = [
  ...lengths([`k4v4,${BARE}`, `k4v4,${COPIES}`], [1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129]),
  { kv: `k4v4,${COPIES}`, steps: [390, 1] },
];

export const WINDOWS: readonly KvCase[] = [
  { kv: `k4v4,${PLAIN},window=128,sinks=4`, steps: [5, 1, 140, 1, 20, 3] },
  ...["window=16,sinks=0", "window=0,sinks=7", "window=1,sinks=1", "window=0,sinks=40"].map((copies) => ({
    kv: `k4v4,${PLAIN},${copies},window=16bit`,
    steps: [5, 1, 70, 1, 20, 3],
  })),
  // The table of the 16-bit pages ends with the sinks; what lies behind it in memory is no address.
  { kv: `k4v4,${PLAIN},window=0,sinks=4`, steps: [64, 64, 64, 1] },
  // After a rollback the window is what is left of it.
  { kv: kvs[1]!, steps: [140, 1, 30], trimTo: 100 },
  { kv: kvs[1]!, steps: [140, 1, 1], trimTo: 2 },
];

const slidingWindows = (cases: readonly (readonly [slidingWindow: number, kv: string])[]): KvCase[] =>
  cases.map(([slidingWindow, kv]) => ({ kv, steps: [110, 1, 30], slidingWindow }));

/** Of codes alone and with copies, shorter and longer than a page. */
export const SLIDING: readonly KvCase[] = slidingWindows([
  [1, kvs[0]!],
  [17, kvs[1]!],
  [64, kvs[0]!],
  [100, kvs[1]!],
]);
export const MORE_SLIDING: readonly KvCase[] = slidingWindows([
  [1, kvs[1]!],
  [17, kvs[0]!],
  [64, kvs[1]!],
  [100, kvs[0]!],
]);

/** Tokens that each step adds to each of four sequences: decoding and prompts of different lengths together. */
const TOGETHER: KvCase["steps"] = [
  [70, 3, 130, 1],
  [1, 1, 1, 1],
  [1, 40, 2, 5],
  [0, 1, 0, 90],
  [1, 1, 1, 1],
];

/** The same in fewer tokens, past the end of a page as well. */
const FEW_TOGETHER: KvCase["steps"] = [
  [40, 3, 66],
  [1, 1, 1],
  [1, 33, 5],
  [0, 1, 30],
  [1, 1, 1],
];

export const BATCHES: readonly KvCase[] = [
  ...kvs.map((kv) => ({ kv, steps: TOGETHER })),
  { kv: kvs[1]!, steps: TOGETHER, slidingWindow: 48 },
  { kv: `q4_0r,v=tq2,${COPIES}`, numHeads: 7, steps: TOGETHER },
  // Each row is turned by its own position.
  { kv: "f32", steps: TOGETHER, rope: true },
];

const EIGHT = "sinks=4,window=32,window=8bit";

/**
 * Sinks and window of 8 bits: a token has no other codes until the window has passed it. Every width beside them, for one query row, two and
 * more; windows shorter than a page and longer; prompts that the window passes as a whole, in part and later.
 */
export const EIGHT_BITS: readonly KvCase[] = [
  { kv: `k4v4,${EIGHT}`, steps: [5, 1, 140, 1, 20, 3] },
  { kv: `k4v4,${EIGHT}`, numHeads: 4, numKvHeads: 2, steps: [70, 1, 1, 1], calibrated: true },
  { kv: `k2v2,${EIGHT}`, numHeads: 4, numKvHeads: 2, steps: [70, 1, 5, 33], calibrated: true },
  {
    kv: `k2v3,transform=off,${EIGHT}`,
    headDim: 128,
    numHeads: 6,
    numKvHeads: 2,
    steps: [40, 4, 4, 1],
    calibrated: true,
  },
  { kv: `k1v8,${EIGHT}`, headDim: 40, numHeads: 3, numKvHeads: 3, steps: [80, 1, 2], calibrated: true },
  { kv: `k8v5,rotation=qr,${EIGHT}`, headDim: 72, numHeads: 3, steps: [1, 33, 1, 66, 3], calibrated: true },
  { kv: `k6v7,rotation=none,${EIGHT}`, headDim: 24, numHeads: 2, steps: [64, 1, 64] },
  { kv: `paper-4+qjl,${EIGHT}`, headDim: 128, steps: [70, 1, 3] },
  { kv: `k4v4,${EIGHT}`, headDim: 48, valueDim: 32, numHeads: 4, numKvHeads: 2, steps: [70, 1, 3] },
  { kv: `k3v2,${EIGHT}`, headDim: 24, valueDim: 40, steps: [1, 33, 1, 2], calibrated: true },
  { kv: `k4v4,${EIGHT}`, headDim: 576, numHeads: 4, numKvHeads: 2, steps: [40, 1] },
  { kv: "k4v4,window=8bit", steps: [140, 1, 200, 2] },
  { kv: "k4v4,window=16,sinks=0,window=8bit", numHeads: 71, headDim: 16, steps: [30, 1, 2] },
  { kv: "k4v4,window=1,sinks=1,window=8bit", steps: [5, 1, 70, 1] },
  { kv: "k4v4,window=0,sinks=7,window=8bit", steps: [5, 1, 140, 1, 3] },
  { kv: `k4v4,${EIGHT}`, steps: [140, 1, 30], trimTo: 100 },
  { kv: `k4v4,${EIGHT}`, steps: [140, 1, 1], trimTo: 2 },
  ...[1, 17, 33, 64, 100].map((slidingWindow) => ({ kv: `k4v4,${EIGHT}`, steps: [110, 1, 30], slidingWindow })),
  { kv: `k4v4,${EIGHT}`, steps: TOGETHER },
  { kv: `k3v3,${EIGHT}`, numHeads: 6, numKvHeads: 2, steps: TOGETHER, slidingWindow: 48 },
  { kv: `k4v4,${EIGHT}`, numHeads: 2, numKvHeads: 1, steps: [64, 1], awkward: true },
];

/** For a GPU in software: codes of two bits behind the window, and one that is not there but for sinks. `FEW_TIERS` have several sequences. */
export const FEW_EIGHT_BITS: readonly KvCase[] = [
  { kv: `k2v2,${EIGHT}`, headDim: 32, numHeads: 4, numKvHeads: 2, steps: [40, 1, 5], calibrated: true },
  { kv: "k4v4,window=0,sinks=7,window=8bit", headDim: 32, steps: [5, 1, 66, 1, 3] },
  // The default but for the length of its window.
  { kv: "k4v4,window=9,sinks=2", headDim: 32, numHeads: 4, numKvHeads: 2, steps: [20, 1], calibrated: true },
  // The centroids of the window and those of the codes take turns in workgroup memory.
  { kv: "k8v2,window=4,sinks=1", headDim: 256, steps: [6, 1], pagesOnly: true },
];

/**
 * Pages that grow coarser with age: short tiers and long ones, so that a page passes one tier or several in a step; beside windows of 8 and 16
 * bits and without one; both kinds of codes of two bits; sliding windows that end in a tier; several sequences.
 */
export const TIERS: readonly KvCase[] = [
  { kv: "tiers=8:16,4:64,3", steps: [5, 1, 140, 1, 30, 3] },
  { kv: "tiers=8:16,4:1,3:70,2", numHeads: 4, numKvHeads: 2, steps: [70, 1, 150, 1], calibrated: true },
  { kv: "tiers=16:20,k8v7:30,k5v4:64,k3v2,sinks=3", headDim: 72, numHeads: 3, steps: [140, 1, 50, 2] },
  { kv: "tiers=4:64,2,sinks=0", headDim: 128, numHeads: 3, steps: [64, 1, 80, 1], calibrated: true },
  { kv: "tiers=k6v5:1,k4v3:1,k3v2,trellis=off", headDim: 40, numHeads: 7, steps: [66, 1, 64, 1] },
  { kv: "tiers=7:64,6:64,2,transform=off", headDim: 48, valueDim: 32, steps: [200, 4, 1], calibrated: true },
  { kv: "tiers=8:16,4:64,3", steps: [150, 1, 130, 1], slidingWindow: 100 },
  { kv: "tiers=8:16,4:64,3", steps: [150, 1, 130, 1], slidingWindow: 50 },
  { kv: "tiers=8:16,4:64,2", numHeads: 4, numKvHeads: 2, steps: TOGETHER },
  { kv: "tiers=4:1,3:1,2", steps: [64, 1, 64], awkward: true },
  // Sinks in 8 bits without a window, beside codes of 8.
  { kv: "tiers=8:auto,2", steps: [70, 1] },
];

/** For a GPU in software, with the kernels of one format: two tiers behind a window, a sliding window that ends in one, several sequences. */
export const FEW_TIERS: readonly KvCase[] = [
  { steps: TIERS[0]!.steps },
  { steps: [70, 1, 40], slidingWindow: 50 },
  { steps: FEW_TOGETHER },
].map((c) => ({ ...c, kv: TIERS[0]!.kv, headDim: 32 }));

const rng = new CounterRng(2, 2);
const gaussian = (i: number): number => rng.gaussian(i);

/** Kernels of FORMATS: codes of few bits and of many, with copies and without, and both kinds of blocks. */
const INPUT_SHAPES: readonly KvCase[] = [
  { kv: `k4v4,${BARE}`, numHeads: 2, numKvHeads: 1, steps: [40, 1] },
  { kv: "k8v3,search=off,window=20,sinks=3,window=16bit", headDim: 40, numHeads: 6, numKvHeads: 2, steps: [40, 1] },
  { kv: `q8_0,v=tq8,${COPIES}`, headDim: 16, numHeads: 8, numKvHeads: 2, steps: [40, 1] },
  { kv: `q4_0r,v=tq2,${COPIES}`, numHeads: 3, numKvHeads: 1, steps: [40, 1] },
];

/** Keys and values are `value`, queries as small as they are large. */
function besideQueries(
  { headDim = 64, numHeads = 2, numKvHeads = 1 }: KvCase,
  value: (i: number) => number,
  query = 1,
) {
  const width = (numHeads + 2 * numKvHeads) * headDim;
  return (i: number): number => (i % width < numHeads * headDim ? query * gaussian(i) : value(i));
}

const NOT_FINITE = [Number.NaN, Number.POSITIVE_INFINITY, -1e30, 1];

const OTHER_INPUTS: readonly KvCase[] = [
  { ...INPUT_SHAPES[0]!, fill: (i) => gaussian(i) * 1e4 },
  { kv: "f32", ...BEYOND_FLOAT16, steps: [1, 1, 7] },
  ...INPUT_SHAPES.map((shape) => ({ ...shape, steps: [64, 1], awkward: true })),
];

const fillsOf = (shape: KvCase): ((i: number) => number)[] => [
  () => 0,
  (i: number) => (i % (shape.headDim ?? 64) === 3 ? 50 : 1e-3),
  besideQueries(shape, (i) => gaussian(i) * 1e4, 1e-4),
  besideQueries(shape, (i) => 6e4 * Math.sign(gaussian(i)), 1e-4),
  // Keys and values only: a query that is no number has no answer.
  besideQueries(shape, (i) => NOT_FINITE[i % 4]!, 1e-4),
];

export const INPUTS: readonly KvCase[] = [
  ...INPUT_SHAPES.flatMap((shape) => fillsOf(shape).map((fill) => ({ ...shape, fill }))),
  ...OTHER_INPUTS,
];

/** For a GPU in software: everything with codes of four bits, and of the others zeros, whose scales are none, and what they round or clamp in their own way. */
export const FEW_INPUTS: readonly KvCase[] = [
  ...INPUT_SHAPES.flatMap((shape, i) =>
    fillsOf(shape)
      .map((fill, kind) => ({ ...shape, fill, kind }))
      .filter(({ kind }) => i === 0 || kind === 0 || kind >= 3)
      // Rows of zeros are alike.
      .map(({ kind, ...c }) => (i > 0 ? { ...c, steps: [kind === 0 ? 5 : 20, 1] } : c)),
  ),
  ...OTHER_INPUTS.map((c) => (c.awkward ? { ...c, steps: [20, 1] } : c)),
];

/** As a test's name: what differs from the usual case. */
export function caseName({
  kv,
  headDim = 64,
  numHeads = 2,
  numKvHeads = 1,
  steps,
  seed: _,
  change: __,
  chosen,
  ...rest
}: KvCase): string {
  const lists = chosen ? [`${chosen.count} chosen${chosen.lists > 1 ? " for each KV head" : ""}`] : [];
  const extras = Object.entries(rest).filter(([, value]) => value);
  const shape = `d=${headDim} ${numHeads}/${numKvHeads} ${steps.map((s) => (typeof s === "number" ? s : `(${s})`)).join("+")}`;
  const texts = extras.map(([name, value]) => (typeof value === "number" ? `${name}=${value}` : name));
  return [kv, shape, ...lists, ...texts].join(" ");
}
