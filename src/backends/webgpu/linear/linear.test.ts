/** @file Matrix products and embeddings on the device against plain TypeScript, over the edges of units, groups and tiles. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { isThorough } from "../../../../test/support/optional.ts";
import { gaussians, WEIGHT_TYPES } from "../../../../test/support/wasm-backend.ts";
import { LinearBench, roundWeights } from "../../../../test/support/webgpu-linear.ts";
import { tolerance } from "../../../../test/tolerances.ts";
import { type LinearPlan, MAX_ROWS } from "./linear-plan.ts";

const ROWS = [1, 2, 3, 8, 9, 64, 65, 130];
/** Outputs and columns: less than a unit, a tail, no whole group, more than a tile in either direction. */
const SHAPES = [
  { outputs: 2, cols: 5 },
  { outputs: 3, cols: 33 },
  { outputs: 64, cols: 32 },
  { outputs: 70, cols: 100 },
  { outputs: 130, cols: 264 },
];
const PLANS: readonly { readonly plan: LinearPlan; readonly rows: number }[] = [
  ...[1, 2, 4].flatMap((outputs) =>
    [1, 2, 4].map((unroll) => ({ plan: { kernel: "rows" as const, outputs, unroll }, rows: outputs })),
  ),
  { plan: { kernel: "tiled", each: 4 }, rows: 70 },
  { plan: { kernel: "tiled", each: 8 }, rows: 150 },
];

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

    // More rows than these take tiles, which have no subgroups in them: the other round has them.
    const isOther = "without" in options && !isThorough;
    const isTried = (rows: number): boolean => !isOther || rows <= MAX_ROWS;

    describe.each(WEIGHT_TYPES)("%s", (type) => {
      it.each(SHAPES)("$outputs outputs of $cols columns, any number of rows", async (shape) => {
        for (const rows of ROWS.filter(isTried)) {
          const error = await linear.linearError({ type, rows, ...shape });
          expect(error, `${rows} rows`).toBeLessThan(tolerance.linearFloat.max);
        }
      });

      it.each([1, 3, 9, 65].filter(isTried))("adds a bias to %d rows and accumulates", async (rows) => {
        for (const extras of [{ bias: true }, { add: true }, { bias: true, add: true }]) {
          const error = await linear.linearError({ type, rows, outputs: 70, cols: 40, ...extras });
          expect(error, JSON.stringify(extras)).toBeLessThan(tolerance.linearFloat.max);
        }
      });

      it.each([1, 9].filter(isTried))("%d rows of a weight in several buffers", async (rows) => {
        const shape = { type, rows, outputs: 70, cols: 40, bias: true, add: true };
        const error = await linear.linearError({ ...shape, bindingLimit: 1 << 11 });
        expect(error).toBeLessThan(tolerance.linearFloat.max);
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

    it.each([1, 9].filter(isTried))("%d rows of a stack of two types", async (rows) => {
      const runs = [
        { type: "q4", outputs: 70 },
        { type: "q8", outputs: 6 },
        { type: "q4", outputs: 3 },
      ] as const;
      expect(await linear.stackError(runs, rows, 40)).toBeLessThan(tolerance.linearFloat.max);
    });

    it.each(PLANS.filter(({ plan }) => !isOther || plan.kernel === "rows"))("$plan", async ({ plan, rows }) => {
      // The text that reads a weight is the same in every plan; the tests above go through all types.
      for (const type of ["f16", "q4"] as const) {
        const error = await linear.linearError({ type, rows, outputs: 70, cols: 300, plan });
        expect(error, type).toBeLessThan(tolerance.linearFloat.max);
      }
    });
  },
);
