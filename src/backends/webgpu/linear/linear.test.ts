/** @file Kernels of matrix products that `planLinear` does not choose here, and weights in several buffers; the rest is a contract (`test/contract/linear.ts`). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { isThorough } from "../../../../test/support/optional.ts";
import { gaussians } from "../../../../test/support/wasm-backend.ts";
import { LinearBench, linearLimit, roundWeights } from "../../../../test/support/webgpu-linear.ts";
import { tolerance } from "../../../../test/tolerances.ts";
import type { LinearPlan } from "./linear-plan.ts";

const PLANS: readonly { readonly plan: LinearPlan; readonly rows: number }[] = [1, 2, 4].flatMap((outputs) =>
  [1, 2, 4].map((unroll) => ({ plan: { kernel: "rows" as const, outputs, unroll }, rows: outputs })),
);
/** The text that reads a weight is the same in every plan; the contract goes through all formats. */
const TYPES = ["f16", "q4"] as const;

describe.skipIf(gpuSkip).each([{}, { without: ["subgroups"] as const }])(
  `webgpu linear %j${gpuSkip ? ` (${gpuSkip})` : ""}`,
  (options) => {
    let gpu: TestGpu;
    let linear: LinearBench;
    beforeAll(async () => {
      gpu = await openTestGpu(options);
      linear = new LinearBench(gpu);
    });
    afterAll(() => gpu.dispose());

    const types = "without" in options && !isThorough ? (["f16"] as const) : TYPES;

    it.each(PLANS)("$plan", async ({ plan, rows }) => {
      for (const type of types) {
        const error = await linear.linearError({ type, rows, outputs: 70, cols: 300, plan });
        expect(error, type).toBeLessThan(tolerance.linearFloat.max);
      }
    });
  },
);

describe.skipIf(gpuSkip)(`webgpu weights in several buffers${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let gpu: TestGpu;
  let linear: LinearBench;
  beforeAll(async () => {
    gpu = await openTestGpu();
    linear = new LinearBench(gpu);
  });
  afterAll(() => gpu.dispose());

  describe.each(TYPES)("%s", (type) => {
    it.each([1, 9])("%d rows, with a bias and added to the output", async (rows) => {
      const shape = { type, rows, outputs: 70, cols: 40, bias: true, add: true };
      const error = await linear.linearError({ ...shape, bindingLimit: 1 << 11 });
      expect(error).toBeLessThan(linearLimit(gpu.context, type, rows));
    });

    it("embeds tokens of a table in one buffer or several", async () => {
      const cols = 44;
      const table = gaussians(7, 50 * cols);
      const tokens = [49, 0, 7, 7, 31];
      const kept = roundWeights(table, cols, type);
      const expected = tokens.flatMap((token) => [...kept.subarray(token * cols, (token + 1) * cols)]);
      for (const bindingLimit of [undefined, 1024]) {
        const { values, chunks } = await linear.embed(type, table, cols, tokens, bindingLimit);
        expect(chunks > 1).toBe(bindingLimit !== undefined);
        expect([...values]).toEqual(expected);
      }
    });
  });
});
