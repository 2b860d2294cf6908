/** @file Cases of the choice of tokens by an indexer, and of attention over chosen tokens. */
import type { TokenBlocks } from "../../src/backends/ops.ts";
import { CounterRng } from "../../src/math/rng.ts";
import type { KvCase } from "../support/kv-case.ts";
import { BARE } from "./kv-cases.ts";

const SIZES = "sinks=4,window=32";
const COPIES = `${SIZES},window=16bit`;
const TOGETHER = [
  [70, 3, 1],
  [1, 40, 2],
];

/** Few shapes that between them meet what the kernels distinguish. */
export const FEW_CHOSEN: readonly KvCase[] = [
  {
    ...{ kv: `k4v4,${COPIES}`, headDim: 24, rotaryKeyDim: 16, numHeads: 3, steps: [40, 1, 40, 3] },
    chosen: { count: 24, lists: 1 },
  },
  // More tokens than a workgroup takes at a time, and parts of the last list that are empty.
  {
    ...{ kv: "f32", headDim: 16, numHeads: 4, numKvHeads: 2, steps: [330, 1, 6], softcap: 2, sinkLogits: true },
    chosen: { count: 300, lists: 2 },
  },
  {
    ...{ kv: `k2v8,trellis=off,window=8bit,${SIZES}`, headDim: 24, valueDim: 40, numHeads: 6, numKvHeads: 2 },
    steps: [
      [40, 3, 1],
      [1, 9, 2],
    ],
    chosen: { count: 16, lists: 2 },
  },
];

const latent = { headDim: 64, rotaryKeyDim: 16, numHeads: 3, steps: [70, 1, 3], chosen: { count: 20, lists: 1 } };
const heads = { headDim: 40, numHeads: 6, numKvHeads: 2, steps: [70, 1, 3], chosen: { count: 20, lists: 2 } };

export const CHOSEN: readonly KvCase[] = [
  ...FEW_CHOSEN,
  ...["f16", "q8_0", "k1v1", "k2v2", "k5v5", "k8v8"].map((kv) => ({ ...latent, kv: `${kv},${COPIES}` })),
  ...["f32", "q4_0r", "k2v2,trellis=off", "k3v3", "k6v6", "k7v7"].map((kv) => ({ ...latent, kv: `${kv},${BARE}` })),
  ...["f16", "k1v6", "k3v2,trellis=off"].map((kv) => ({ ...heads, kv: `${kv},${BARE}` })),
  ...["q8_0,v=tq4", "k2v5", "k4v7,rotation=none"].map((kv) => ({ ...heads, kv: `${kv},${COPIES}` })),
  { ...heads, kv: `k8v3,rotation=qr,window=8bit,${SIZES}` },
  { ...latent, kv: `k4v4,${COPIES}`, numHeads: 17 },
  { ...latent, kv: `k4v4,${COPIES}`, headDim: 512, rotaryKeyDim: 64, numHeads: 33, steps: [30, 1] },
  { ...heads, kv: `k4v4,${COPIES}`, calibrated: true },
  { ...heads, kv: `k2v2,${COPIES}`, calibrated: true },
  { ...heads, kv: `k4v4,${COPIES}`, numHeads: 142, headDim: 16, steps: [30, 1] },
  { ...heads, kv: `k4v4,${COPIES}`, chosen: { count: 1, lists: 2 } },
  { ...heads, kv: `k4v4,${COPIES}`, chosen: { count: 20, lists: 1 }, steps: TOGETHER },
  { ...heads, kv: `k4v4,${COPIES}`, steps: [140, 1, 30], trimTo: 100 },
];

export interface ChoiceCase extends KvCase {
  /** Tokens that are chosen, with a factor for each head, or blocks of them for each head. */
  readonly by: number | TokenBlocks;
  /** Whether scores are equal bit for bit on every backend, and many of them equal to each other. */
  readonly isExact?: boolean;
}

const exact = { kv: "f32", headDim: 8, rotaryKeyDim: 8, isExact: true };
const coded = { headDim: 16, rotaryKeyDim: 8, numHeads: 4 };

/** −1, 0 or 1. */
const few = (i: number): number => (new CounterRng(6, 6).uint32(i) % 3) - 1;

export const CHOICES: readonly ChoiceCase[] = [
  { ...exact, numHeads: 4, steps: [5, 1, 40, 1, 70], fill: few, by: 7 },
  // Every score is the same: the first tokens are chosen.
  { ...exact, numHeads: 4, steps: [5, 1, 40], fill: () => 0, by: 7 },
  { ...exact, numHeads: 4, steps: TOGETHER, fill: few, by: 20 },
  // Heads in two parts that share one; more tokens than a workgroup takes.
  { ...exact, numHeads: 17, steps: [9, 30], fill: few, by: 3 },
  { ...exact, numHeads: 2, steps: [2060, 1, 3], fill: few, by: 300 },
  { ...exact, numHeads: 2, steps: [5, 1, 70, 3], fill: few, by: { size: 8, count: 3, local: 1 } },
  { ...exact, numHeads: 2, steps: TOGETHER, fill: few, by: { size: 16, count: 2, local: 3 } },
  { ...exact, numHeads: 1, steps: [40, 1, 30], fill: few, by: { size: 1, count: 5, local: 0 } },
  { ...coded, kv: `k8v8,${COPIES}`, steps: [90, 1, 3], by: 20 },
  { ...coded, kv: `k4v4,${BARE}`, steps: TOGETHER, by: 9, rope: true },
  { ...coded, kv: "f16", steps: [60, 1], by: 9 },
  { ...coded, kv: `k2v2,${COPIES}`, steps: [90, 1], by: { size: 8, count: 4, local: 1 } },
];
