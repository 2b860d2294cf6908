/** @file Prefill attention against the reference: lengths, shapes, every type on either side, windows and splits. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { layerOf, type PrefillCase, runPrefill, worstError } from "../../../../test/support/webgpu-prefill.ts";
import { tolerance } from "../../../../test/tolerances.ts";
import { planPrefill } from "./prefill-plan.ts";

const FLOAT = ["f16", "f32", "q8_0"];

const textOf = ({ kv, steps, headDim = 64, group = 2, numKvHeads = 1, ...rest }: PrefillCase): string => {
  const extras = Object.keys(rest).length > 0 ? ` ${JSON.stringify(rest).replaceAll('"', "")}` : "";
  return `${kv} d=${headDim} ${group * numKvHeads}/${numKvHeads} ${steps.join("+")}${extras}`;
};

const only = (kv: string): string => `${kv},sinks=0,window=0,search=off`;

/** The same kernel as often as possible: making one takes longer than running it here. */
const CASES: Readonly<Record<string, readonly PrefillCase[]>> = {
  lengths: [
    ...[5, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300].map((n) => ({ kv: "k4v4,sinks=4,window=32", steps: [n] })),
    { kv: "k4v4,sinks=4,window=32", steps: [1000] },
    { kv: "k4v4,sinks=4,window=32", steps: [1, 64, 100, 5] },
    { kv: "k4v4,sinks=4,window=32", steps: [700, 40] },
    { kv: "k4v4,sinks=4,window=32", steps: [100, 30], besides: 7 },
  ],
  "windows and sinks": [
    { kv: "k4v4,sinks=0,window=16", steps: [100] },
    { kv: "k4v4,sinks=40,window=0", steps: [100] },
    { kv: "k4v4,sinks=40,window=64", steps: [80, 90] },
    { kv: "k4v4,sinks=4,window=200", steps: [90, 60] },
    { kv: "k4v4,sinks=4,window=32", steps: [200, 70], trimTo: 150 },
    { kv: "k4v4,sinks=4,window=32", steps: [200, 70], trimTo: 2 },
    { kv: "k4v4,sinks=4,window=32", steps: [300], slidingWindow: 50 },
    { kv: "k4v4,sinks=4,window=32", steps: [300, 33], slidingWindow: 7 },
    { kv: "k4v4,sinks=4,window=100", steps: [100, 33], slidingWindow: 64 },
  ],
  plans: [
    { kv: "k4v4,sinks=4,window=32", steps: [130, 100], plan: { rows: 32, splits: 4 } },
    { kv: "k4v4,sinks=4,window=32", steps: [5], plan: { rows: 32, splits: 7 } },
    { kv: "k4v4,sinks=4,window=32", steps: [130, 100], plan: { rows: 64, splits: 1 } },
    { kv: "k4v4,sinks=4,window=32", steps: [1000, 100], plan: { rows: 64, splits: 3 } },
  ],
  "types and shapes": [
    { kv: only("k1v2"), headDim: 8, group: 1, numKvHeads: 3, steps: [70] },
    { kv: only("k2v3"), headDim: 40, group: 3, steps: [70] },
    { kv: only("k3v5"), headDim: 80, group: 5, steps: [70] },
    { kv: only("k5v6"), headDim: 96, group: 6, steps: [70] },
    { kv: only("k6v7"), headDim: 64, group: 4, steps: [70] },
    { kv: "k7v8,sinks=4,window=32,search=off", headDim: 128, group: 8, numKvHeads: 2, steps: [30, 30] },
    { kv: "k8v8,v=f16,sinks=4,window=32,search=off", headDim: 256, group: 7, steps: [30, 30] },
    { kv: "q4_0r,k=f16", headDim: 64, steps: [70] },
    { kv: "q4_0r,v=q8_0", headDim: 72, steps: [70] },
    { kv: only("k1v1,k=q8_0"), headDim: 64, steps: [70] },
    { kv: "f32", headDim: 64, steps: [70] },
    // Two tables and the smallest workgroup memory: tiles of four keys.
    { kv: "k5v8,sinks=4,window=32,search=off", headDim: 256, group: 1, steps: [30, 30], workgroupBytes: 16384 },
  ],
};

const toleranceOf = (kv: string): number =>
  (FLOAT.includes(kv) ? tolerance.attentionFloats : tolerance.attentionGpuCodes).max;

describe.skipIf(gpuSkip)(`webgpu prefill attention${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let gpu: TestGpu;
  beforeAll(async () => {
    gpu = await openTestGpu();
  });
  afterAll(() => gpu.dispose());

  describe.each(Object.entries(CASES))("%s", (_name, cases) => {
    it.each(cases.map((c) => [textOf(c), c] as const))("%s", async (_text, c) => {
      expect(worstError(await runPrefill(gpu, c))).toBeLessThan(toleranceOf(c.kv));
    });
  });

  it("cuts few rows into small tiles and long histories into splits", () => {
    const layer = layerOf({ kv: "k4v4", headDim: 128, group: 2, numKvHeads: 8, steps: [] });
    expect(planPrefill(layer, { start: 0, count: 64 })).toEqual({ rows: 32, splits: 1 });
    expect(planPrefill(layer, { start: 0, count: 4096 })).toEqual({ rows: 64, splits: 1 });
    expect(planPrefill(layer, { start: 32768, count: 256 })).toEqual({ rows: 64, splits: 4 });
    expect(planPrefill({ ...layer, slidingWindow: 512 }, { start: 32768, count: 256 }).splits).toBe(1);
  });
});
