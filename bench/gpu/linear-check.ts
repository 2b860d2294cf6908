/**
 * @file Every kernel of matrix products on this adapter against f64 in plain TypeScript: one row for each plan and weight type,
 * with the worst case. A plan that does not compile or breaks the device leaves a row with `error`.
 */
import type { GpuContext } from "../../src/backends/webgpu/device/context.ts";
import { openDevice } from "../../src/backends/webgpu/device/open-device.ts";
import { BATCH_TILES } from "../../src/backends/webgpu/linear/batch-plan.ts";
import { batchBytes } from "../../src/backends/webgpu/linear/batch-text.ts";
import { type LinearPlan, MATRIX_TILES } from "../../src/backends/webgpu/linear/linear-plan.ts";
import { tileBytes } from "../../src/backends/webgpu/linear/matrix-text.ts";
import { productName } from "../../src/backends/webgpu/plans/product-choice.ts";
import { BufferAllocator } from "../../src/backends/webgpu/queue/buffers.ts";
import { Commands } from "../../src/backends/webgpu/queue/commands.ts";
import { WEIGHT_TYPES } from "../../test/support/wasm-backend.ts";
import { LinearBench, type LinearCase } from "../../test/support/webgpu-linear.ts";
import { tolerance } from "../../test/tolerances.ts";

export const ROW_PLANS: readonly LinearPlan[] = [1, 2, 4].flatMap((outputs) =>
  [1, 2, 4].map((unroll) => ({ kernel: "rows" as const, outputs, unroll })),
);

/** Plans for many rows that this device can run; `views`: instead those that stage through `buffer_view`. */
export function tilePlans({ features, limits }: GpuContext, views: boolean): LinearPlan[] {
  const fits = MATRIX_TILES.filter((tile) => tileBytes(tile) <= limits.maxComputeWorkgroupStorageSize);
  const matrices = features.matrices && features.subgroupSize === 32 ? fits : [];
  const plans: LinearPlan[] = matrices.map((tile) => ({ kernel: "matrix", tile, views }));
  if (views) return plans;
  const tiles = BATCH_TILES.filter(
    (tile) => batchBytes({ rows: 64, ...tile }, true) <= limits.maxComputeWorkgroupStorageSize,
  );
  const batches = matrices.length > 0 ? tiles.map((tile) => ({ kernel: "batch" as const, tile })) : [];
  const panels = matrices.length > 0 ? [1, 2, 4].map((shares) => ({ kernel: "panels" as const, shares })) : [];
  return [...batches, ...panels, ...plans, ...[4, 8].map((each) => ({ kernel: "tiled" as const, each }))];
}

export const planName = (plan: LinearPlan | null): string => (plan ? productName(plan) : "chosen");

/** Outputs and columns: below a unit, tails of units, groups and steps, more than a tile, whole tiles. */
const SHAPES = [
  { outputs: 3, cols: 5 },
  { outputs: 33, cols: 40 },
  { outputs: 70, cols: 100 },
  { outputs: 128, cols: 128, bias: true },
  { outputs: 130, cols: 264, add: true },
  { outputs: 300, cols: 1024, bias: true, add: true },
  { outputs: 48, cols: 100, add: true },
  { outputs: 48, cols: 176, bias: true },
  { outputs: 304, cols: 1024, add: true },
] as const;
/** Of one row with its neighbours, by weight type: a tail and none, halves of one output and of many. */
const FUSED_SHAPES = [
  { outputs: 2, cols: 33 },
  { outputs: 260, cols: 264 },
  { outputs: 66, cols: 2080 },
] as const;

/** Whole matrices of rows and none, tiles and a row more or less. */
const PANEL_ROWS = [1, 9, 31, 33, 80, 127, 129, 144];
const BATCH_ROWS = [1, 15, 16, 17, 33, 64];
/** Of which a slice of 256 outputs of 1,024 columns fits. */
const PANEL_BINDING = 640_000;

export async function* checkLinear(views = false): AsyncGenerator<object> {
  const probe = await openDevice();
  const plans = [...(views ? [] : [null]), ...tilePlans(probe, views), ...(views ? [] : ROW_PLANS)];
  probe.dispose();
  for (const plan of plans) {
    const isPanels = plan?.kernel === "panels";
    const isBatch = plan?.kernel === "batch";
    const rowCounts =
      plan === null
        ? [1, 3, 9, 65, 200]
        : plan.kernel === "rows"
          ? [1, 3, 8]
          : isPanels
            ? PANEL_ROWS
            : isBatch
              ? BATCH_ROWS
              : [1, 17, 64, 130];
    const shapes = SHAPES.filter(
      ({ outputs, cols }) => (!isPanels && !isBatch) || (outputs % 16 === 0 && (isPanels || cols % 16 === 0)),
    );
    for (const type of WEIGHT_TYPES) {
      const onMatrices = plan?.kernel === "matrix" || isPanels || isBatch;
      if (onMatrices && type === "f32") continue;
      // A device of its own: the first error is the device's last.
      const context = await openDevice(isPanels ? { bindingLimit: PANEL_BINDING } : {});
      const allocator = new BufferAllocator(context);
      const commands = new Commands(context, allocator);
      const bench = new LinearBench({ context, allocator, commands });
      const halves = type !== "f32" && (plan === null ? context.features.matrices : onMatrices);
      const limit = (halves ? tolerance.linearHalf : tolerance.linearFloat).max;
      const row = { kind: "linear-check", plan: planName(plan), type, device: context.adapterName };
      try {
        let worst = { error: -1, case: "" };
        let cases = 0;
        for (const shape of shapes) {
          for (const rows of rowCounts) {
            const chunks = shape.outputs === 70 ? { bindingLimit: 8192 } : {};
            const c: LinearCase = { type, rows, ...shape, ...chunks, ...(plan && { plan }) };
            const error = await bench.linearError(c);
            cases++;
            if (!(error <= worst.error)) worst = { error, case: `${rows} rows, ${shape.outputs}x${shape.cols}` };
            if (Number.isNaN(error)) break;
          }
        }
        for (const fused of plan === null && !views ? (["normed", "gated", "normed and gated"] as const) : []) {
          for (const shape of FUSED_SHAPES) {
            for (const rows of [1, 3, 8]) {
              const error = await bench.linearError({ type, rows, ...shape, fused });
              cases++;
              if (!(error <= worst.error))
                worst = { error, case: `${fused}, ${rows} rows, ${shape.outputs}x${shape.cols}` };
            }
          }
        }
        for (const work of isBatch ? [{ fused: "normed" as const }, { gatedInput: true }] : []) {
          for (const rows of BATCH_ROWS) {
            const error = await bench.linearError({
              type,
              rows,
              outputs: 48,
              cols: 2096,
              ...(plan && { plan }),
              ...work,
            });
            cases++;
            if (!(error <= worst.error)) worst = { error, case: `${JSON.stringify(work)}, ${rows} rows` };
          }
        }
        yield { ...row, passed: worst.error <= limit, worst: worst.error, limit, at: worst.case, cases };
      } catch (error) {
        yield { ...row, passed: false, error: String((error as Error).message ?? error) };
      }
      commands.dispose();
      allocator.dispose();
      context.dispose();
    }
  }
}
