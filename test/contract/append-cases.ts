/**
 * @file Cases of what some models change about what is appended: heads normed behind RoPE (Hunyuan), values normed (Gemma 4), queries
 * that grow with their position (Llama 4, Ministral 3), ropes of single rows (LongRoPE). Short heads and such as have more pairs than a workgroup has invocations.
 */
import type { KvCase } from "../support/kv-case.ts";

const ALL: KvCase = {
  kv: "f32",
  headDim: 24,
  numHeads: 6,
  numKvHeads: 2,
  steps: [
    [33, 2],
    [1, 40],
    [1, 1],
  ],
  rope: true,
  ropesOfRows: true,
  norms: "turned",
  valueNorm: true,
  growth: { beta: 0.7, length: 5, offset: 1 },
};

/** For backends that make a kernel for each case. */
export const FEW_APPENDED: readonly KvCase[] = [
  ALL,
  // In the codes and the shape of one of FORMATS, whose kernels of attention it takes.
  {
    kv: "k3v4,window=4,sinks=2,window=16bit",
    headDim: 320,
    steps: [9, 1],
    rope: true,
    norms: "before",
    valueNorm: true,
  },
];

export const APPENDED: readonly KvCase[] = [
  ...FEW_APPENDED,
  { ...ALL, norms: "before", valueNorm: false },
  { kv: "k8v8,window=0,sinks=0", numHeads: 4, numKvHeads: 2, steps: [9, 1], calibrated: true, growth: ALL.growth! },
  { kv: "f16", headDim: 8, numHeads: 3, numKvHeads: 3, steps: [7, 1], valueNorm: true },
  { kv: "k4v4,window=16bit", steps: [70, 1], growth: { beta: 0.1, length: 16, offset: 0 } },
  { ...ALL, headDim: 576, numHeads: 2, numKvHeads: 1, steps: [9, 1] },
];
