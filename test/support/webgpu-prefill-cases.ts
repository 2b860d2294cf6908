/** @file The grid that attention of spans is checked over, on SwiftShader by a test and on a GPU by bench/gpu. */
import { tolerance } from "../tolerances.ts";
import type { PrefillCase } from "./webgpu-prefill.ts";

const COPIES = "sinks=4,window=32,window=16bit";
const only = (kv: string): string => `${kv},sinks=0,window=0,search=off`;

/** The same kernel as often as possible: making one takes longer than running it on SwiftShader. */
export const PREFILL_CASES: Readonly<Record<string, readonly PrefillCase[]>> = {
  lengths: [
    ...[5, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300].map((n) => ({ kv: `k4v4,${COPIES}`, steps: [n] })),
    { kv: `k4v4,${COPIES}`, steps: [1000] },
    { kv: `k4v4,${COPIES}`, steps: [1, 64, 100, 5] },
    { kv: `k4v4,${COPIES}`, steps: [700, 40] },
    { kv: `k4v4,${COPIES}`, steps: [100, 30], besides: 7 },
  ],
  "windows and sinks": [
    { kv: "k4v4,sinks=0,window=16,window=16bit", steps: [100] },
    { kv: "k4v4,sinks=40,window=0,window=16bit", steps: [100] },
    { kv: "k4v4,sinks=40,window=64,window=16bit", steps: [80, 90] },
    { kv: "k4v4,sinks=4,window=200,window=16bit", steps: [90, 60] },
    { kv: `k4v4,${COPIES}`, steps: [200, 70], trimTo: 150 },
    { kv: `k4v4,${COPIES}`, steps: [200, 70], trimTo: 2 },
    { kv: `k4v4,${COPIES}`, steps: [300], slidingWindow: 50 },
    { kv: `k4v4,${COPIES}`, steps: [300, 33], slidingWindow: 7 },
    { kv: "k4v4,sinks=4,window=100,window=16bit", steps: [100, 33], slidingWindow: 64 },
  ],
  "windows of 8 bits": [
    { kv: "k4v4,sinks=4,window=32,window=8bit", steps: [20] },
    { kv: "k4v4,sinks=4,window=32,window=8bit", steps: [100, 90] },
    { kv: "k3v4,sinks=4,window=0,window=8bit", steps: [100, 90] },
  ],
  // Tiles of few rows and of many, the keys in one piece and split.
  plans: [
    { kv: `k4v4,${COPIES}`, steps: [130, 100], plan: { rows: 32, splits: 4 } },
    { kv: `k4v4,${COPIES}`, steps: [5], plan: { rows: 32, splits: 7 } },
    { kv: `k4v4,${COPIES}`, steps: [130, 100], plan: { rows: 64, splits: 1 } },
    { kv: `k4v4,${COPIES}`, steps: [1000, 100], plan: { rows: 64, splits: 3 } },
  ],
  "types and shapes": [
    { kv: only("k1v2"), headDim: 8, group: 1, numKvHeads: 3, steps: [70] },
    { kv: only("k2v3"), headDim: 40, group: 3, steps: [70] },
    { kv: only("k3v5"), headDim: 80, group: 5, steps: [70] },
    { kv: only("k5v6"), headDim: 96, group: 6, steps: [70] },
    { kv: only("k6v7"), headDim: 64, group: 4, steps: [70] },
    { kv: "k7v8,sinks=4,window=32,search=off,window=16bit", headDim: 128, group: 8, numKvHeads: 2, steps: [30, 30] },
    { kv: "k8v8,v=f16,sinks=4,window=32,search=off", headDim: 256, group: 7, steps: [30, 30] },
    { kv: "q4_0r,k=f16", headDim: 64, steps: [70] },
    { kv: "q4_0r,v=q8_0", headDim: 72, steps: [70] },
    // Once rotated, some of these numbers are beyond f16, so rotated blocks have to stay off matrix units.
    { kv: "q4_0r", headDim: 128, steps: [20, 50], size: 4e4 },
    { kv: only("k1v1,k=q8_0"), headDim: 64, steps: [70] },
    { kv: "f32", headDim: 64, steps: [70] },
  ],
  "little workgroup memory": [
    // Two tables and the smallest workgroup memory: tiles of four keys.
    {
      kv: "k5v8,sinks=4,window=32,search=off,window=16bit",
      headDim: 256,
      group: 1,
      steps: [30, 30],
      workgroupBytes: 16384,
    },
  ],
};

/**
 * Besides, each on matrix units where the device has them: whole tiles and parts of them, every head_dim's steps, every type that they are for, scores
 * that outgrow their maximum, queries that f16 does not hold.
 */
export const MATRIX_CASES: readonly PrefillCase[] = [
  ...[16, 48, 64, 80, 96, 112, 128].map((headDim) => ({ kv: `k4v4,${COPIES}`, headDim, steps: [100, 90] })),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 16, 20].map((group) => ({
    kv: "k4v4,window=16bit",
    headDim: 128,
    group,
    numKvHeads: 2,
    steps: [300, 70],
  })),
  ...["k1v1", "k2v2", "k3v3", "k4v3", "k5v5", "k6v6", "k7v7", "k8v8", "k8v4", "f16", "q8_0"].map((kv) => ({
    kv,
    headDim: 128,
    steps: [200, 90],
  })),
  ...[3, 10, 20].map((sharpness) => ({ kv: "k4v4,window=16bit", headDim: 128, steps: [300, 150], sharpness })),
  // Tiny queries of large keys and huge queries of tiny ones. Codes have a norm in f16, so queries are not as far out of it.
  { kv: "f16", headDim: 128, steps: [200, 90], size: 4e4 },
  { kv: "q8_0", headDim: 128, steps: [200, 90], size: 4e4 },
  { kv: "f16", headDim: 128, steps: [200, 90], size: 1e-6 },
  ...[1, 2, 5, 16].map((splits) => ({ kv: "k4v4,window=16bit", headDim: 128, steps: [700, 200], plan: { splits } })),
  // Rows of 8 bits beside no codes, beside codes, and sides that are read unlike each other; of eight coordinates and of 32 at once.
  ...["k4v4", "k4v3", "k8v8"].map((kv) => ({ kv: `${kv},window=8bit`, headDim: 128, steps: [300, 200] })),
  { kv: "k4v4,sinks=4,window=32,window=8bit", headDim: 48, steps: [20] },
  { kv: "k4v4,sinks=4,window=32,window=8bit", headDim: 80, steps: [100, 90] },
  { kv: "k4v4,sinks=20,window=0,window=8bit", headDim: 128, steps: [100, 90] },
  { kv: "k4v4,sinks=4,window=32,window=8bit", headDim: 128, steps: [300, 150], sharpness: 10 },
  { kv: "k4v4,window=16bit", headDim: 128, steps: [300, 200], slidingWindow: 100 },
  { kv: "k4v4,window=16bit", headDim: 128, steps: [300, 33], slidingWindow: 7, sharpness: 10 },
  { kv: "f16", headDim: 128, numKvHeads: 2, steps: [1000, 300] },
];

export const matrixTolerance = ({ sharpness = 0 }: PrefillCase): number =>
  (sharpness > 5 ? tolerance.attentionMatricesSharp : tolerance.attentionMatrices).max;

const FLOAT = ["f16", "f32", "q8_0"];

export const prefillTolerance = (kv: string): number =>
  (FLOAT.includes(kv) ? tolerance.attentionFloats : tolerance.attentionGpuCodes).max;

export function prefillCaseText({ kv, steps, headDim = 64, group = 2, numKvHeads = 1, ...rest }: PrefillCase): string {
  const extras = Object.keys(rest).length > 0 ? ` ${JSON.stringify(rest).replaceAll('"', "")}` : "";
  return `${kv} d=${headDim} ${group * numKvHeads}/${numKvHeads} ${steps.join("+")}${extras}`;
}
