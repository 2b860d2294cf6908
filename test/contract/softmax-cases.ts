/**
 * @file Cases of what some models change about the softmax of attention: a soft cap of the scores (Gemma 2), a learned logit a head without
 * a value (gpt-oss). The scores of these cases are well beyond the cap. Streams of codes and of copies, few rows and many, long heads.
 */
import { CounterRng } from "../../src/math/rng.ts";
import type { KvCase } from "../support/kv-case.ts";

const rng = new CounterRng(8, 1);
/** Scores with a standard deviation of 9. */
const large = (i: number): number => 3 * rng.gaussian(i);

const BOTH: KvCase = {
  kv: "k4v4,sinks=4,window=32,window=16bit",
  headDim: 16,
  numHeads: 4,
  numKvHeads: 2,
  steps: [70, 1],
  softcap: 1.5,
  sinkLogits: true,
};

const SHORT: KvCase = {
  kv: "f32",
  headDim: 8,
  numHeads: 1,
  numKvHeads: 1,
  steps: [33, 1],
  slidingWindow: 17,
  softcap: 8,
  fill: large,
};

/** For backends that make a kernel for each case. */
export const FEW_SOFTMAX: readonly KvCase[] = [BOTH, { ...SHORT, sinkLogits: true }];

/** One token at a time. */
export const DECODE_SOFTMAX: readonly KvCase[] = [SHORT];

export const SOFTMAX: readonly KvCase[] = [
  ...FEW_SOFTMAX,
  { ...SHORT, headDim: 64, numHeads: 2 },
  { kv: "f32", headDim: 512, numHeads: 4, steps: [9, 1], sinkLogits: true },
  { ...BOTH, headDim: 64, steps: [300, 1, 5], sinkLogits: false },
  { kv: "f16", headDim: 256, steps: [70, 1], softcap: 50, fill: large },
  { kv: "q8_0,v=tq8", headDim: 72, numHeads: 7, steps: [66, 2], softcap: 2, sinkLogits: true },
  // More query heads than the scratch of a thread takes, and several splits of the keys.
  { kv: "k4v4,window=16bit", headDim: 16, numHeads: 142, numKvHeads: 2, steps: [9, 1], sinkLogits: true },
  { kv: "f32", headDim: 8, numHeads: 4, numKvHeads: 2, steps: [1200, 1], softcap: 1, sinkLogits: true },
  {
    kv: "f32",
    numHeads: 4,
    numKvHeads: 2,
    steps: [
      [70, 3, 1],
      [1, 40, 2],
    ],
    sinkLogits: true,
  },
];
