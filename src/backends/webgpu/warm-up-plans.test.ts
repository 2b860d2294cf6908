/** @file The steps of the warm-up meet every kernel that steps of other sizes get: plans are compared, no device takes part. */
import { describe, expect, it } from "vitest";
import { planPrefill } from "./attention/prefill-plan.ts";
import type { GpuContext } from "./device/context.ts";
import { BATCH_LINES } from "./linear/batch-plan.ts";
import type { GpuWeight } from "./linear/gpu-weight.ts";
import { type LinearPlan, planLinear, warmUpRows } from "./linear/linear-plan.ts";

const HEADS = [
  [4, 2],
  [14, 2],
  [16, 8],
  [28, 4],
  [32, 32],
  [64, 8],
] as const;

describe("the warm-up has every plan", () => {
  it("of prefill attention, in any context and with any window", () => {
    const seen = new Set<number>();
    for (const [numHeads, numKvHeads] of HEADS) {
      for (const slidingWindow of [0, 128, 4096]) {
        const layer = { numHeads, numKvHeads, valueDim: 128, slidingWindow };
        for (const [matrices, context] of [
          [false, 128],
          [true, 512],
          [false, 5000],
          [true, 40_960],
        ] as const) {
          const most = Math.min(256, context);
          const steps = warmUpRows(most, { features: { matrices } }).map((count) => ({
            start: count === most ? context - most : 0,
            count,
          }));
          const known = new Set(steps.map((step) => planPrefill(layer, step, false).rows));
          for (const rows of known) seen.add(rows);
          for (let count = 5; count <= most; count += 3) {
            for (let start = 0; start + count <= context; start += Math.ceil(context / 37)) {
              const { rows } = planPrefill(layer, { start, count }, false);
              if (known.has(rows)) continue;
              expect.fail(`${rows}: ${JSON.stringify(layer)}, ${count} rows from ${start} of ${context}`);
            }
          }
        }
      }
    }
    expect([...seen].sort()).toEqual([32, 64]);
  });

  it.each([
    ["software", { isSoftware: true, matrices: false }],
    ["a GPU", { isSoftware: false, matrices: false }],
    ["a GPU with matrix units", { isSoftware: false, matrices: true }],
  ])("of matrix products, on %s", (_, { isSoftware, matrices }) => {
    const context = {
      isSoftware,
      features: { matrices, subgroupSize: 32 },
      limits: { maxComputeWorkgroupStorageSize: 65_536, maxComputeInvocationsPerWorkgroup: 1024 },
      bindingBytes: 1 << 27,
    } as unknown as GpuContext;
    // Kernels for few rows are made for the next power of two, those of batches for some numbers of lines; those of panels do not
    // depend on the number of shares.
    const nameOf = (plan: LinearPlan, rows: number): string => {
      if (plan.kernel === "panels") return plan.kernel;
      if (plan.kernel === "batch") return JSON.stringify([plan, BATCH_LINES.find((lines) => lines >= rows)]);
      return JSON.stringify(plan.kernel === "rows" ? [plan, 2 ** Math.ceil(Math.log2(rows))] : plan);
    };
    for (const outputs of [100, 256, 4096, 151_936]) {
      for (const [fitsHalf, type] of [
        [true, "f16"],
        [true, "q4"],
        [false, "f32"],
      ] as const) {
        const weight = {
          type,
          rows: outputs,
          cols: 1024,
          fitsHalf,
          chunks: [{ rows: outputs }],
        } as unknown as GpuWeight;
        const plan = (rows: number): string => nameOf(planLinear(context, weight, rows), rows);
        const known = new Set(warmUpRows(1024, context).map(plan));
        for (let rows = 1; rows <= 1024; rows++) {
          if (!known.has(plan(rows))) expect.fail(`${plan(rows)}: ${outputs} outputs, ${rows} rows`);
        }
      }
    }
  });
});
