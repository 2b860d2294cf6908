/**
 * @file Prefill attention by the plans that are made for long prompts and large devices, against the reference. Lengths, shapes, windows and every
 * type on either side are cases of the contract (`test/contract`); here they are run with thorough tests, and by `bench/gpu` on a GPU.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { isThorough } from "../../../../test/support/optional.ts";
import { layerOf, runPrefill, worstError } from "../../../../test/support/webgpu-prefill.ts";
import { PREFILL_CASES, prefillCaseText, prefillTolerance } from "../../../../test/support/webgpu-prefill-cases.ts";
import { planPrefill } from "./prefill-plan.ts";

describe.skipIf(gpuSkip)(`webgpu prefill attention${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let gpu: TestGpu;
  beforeAll(async () => {
    gpu = await openTestGpu();
  });
  afterAll(() => gpu.dispose());

  const own = ["plans", "little workgroup memory"];
  describe.each(Object.entries(PREFILL_CASES).filter(([name]) => isThorough || own.includes(name)))(
    "%s",
    (_name, cases) => {
      it.each(cases.map((c) => [prefillCaseText(c), c] as const))("%s", async (_text, c) => {
        expect(worstError(await runPrefill(gpu, c))).toBeLessThan(prefillTolerance(c.kv));
      });
    },
  );

  it("cuts few rows into small tiles and long histories into splits", () => {
    const layer = layerOf({ kv: "k4v4", headDim: 128, group: 2, numKvHeads: 8, steps: [] });
    expect(planPrefill(layer, { start: 0, count: 64 }, false)).toEqual({ rows: 32, splits: 1 });
    expect(planPrefill(layer, { start: 0, count: 4096 }, false)).toEqual({ rows: 64, splits: 1 });
    expect(planPrefill(layer, { start: 32768, count: 256 }, false)).toEqual({ rows: 64, splits: 4 });
    expect(planPrefill({ ...layer, slidingWindow: 512 }, { start: 32768, count: 256 }, false).splits).toBe(1);
  });

  it("splits keys on matrix units into whole waves of workgroups", () => {
    const layer = { numHeads: 16, numKvHeads: 8, slidingWindow: 0, valueDim: 128 };
    expect(planPrefill(layer, { start: 32768, count: 1024 }, true)).toEqual({ rows: 256, splits: 2 });
    expect(planPrefill(layer, { start: 32768, count: 512 }, true).splits).toBe(4);
    expect(planPrefill({ ...layer, numHeads: 32 }, { start: 4096, count: 1024 }, true).splits).toBe(1);
    expect(planPrefill(layer, { start: 0, count: 9 }, true).splits).toBe(1);
  });
});
