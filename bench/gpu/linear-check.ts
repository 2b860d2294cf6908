/**
 * @file Every kernel of matrix products on this adapter against f64 in plain TypeScript: one row for each plan and weight type,
 * with the worst case. A plan that does not compile or breaks the device leaves a row with `error`.
 */
import type { GpuContext } from "../../src/backends/webgpu/device/context.ts";
import { openDevice } from "../../src/backends/webgpu/device/open-device.ts";
import { type LinearPlan, MATRIX_TILES } from "../../src/backends/webgpu/linear/linear-plan.ts";
import { tileBytes } from "../../src/backends/webgpu/linear/matrix-text.ts";
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
  return views ? plans : [...[4, 8].map((each) => ({ kernel: "tiled" as const, each })), ...plans];
}

export function planName(plan: LinearPlan | null): string {
  if (!plan) return "chosen";
  if (plan.kernel === "rows") return `rows, ${plan.outputs} outputs, ${plan.unroll} units`;
  if (plan.kernel === "tiled") return `tiled, ${plan.each} rows`;
  const { rows, outputs, partRows, partOutputs } = plan.tile;
  return `matrix ${rows}x${outputs} of ${partRows}x${partOutputs}${plan.views ? ", views" : ""}`;
}

/** Outputs and columns: below a unit, tails of units, groups and steps, more than a tile, whole tiles. */
const SHAPES = [
  { outputs: 3, cols: 5 },
  { outputs: 33, cols: 40 },
  { outputs: 70, cols: 100 },
  { outputs: 128, cols: 128, bias: true },
  { outputs: 130, cols: 264, add: true },
  { outputs: 300, cols: 1024, bias: true, add: true },
] as const;

export async function* checkLinear(views = false): AsyncGenerator<object> {
  const probe = await openDevice();
  const plans = [...(views ? [] : [null, ...ROW_PLANS]), ...tilePlans(probe, views)];
  probe.dispose();
  for (const plan of plans) {
    const rowCounts = plan === null ? [1, 3, 9, 65, 200] : plan.kernel === "rows" ? [1, 3, 8] : [1, 17, 64, 130];
    for (const type of WEIGHT_TYPES) {
      if (plan?.kernel === "matrix" && type === "f32") continue;
      // A device of its own: the first error is the device's last.
      const context = await openDevice();
      const allocator = new BufferAllocator(context);
      const commands = new Commands(context, allocator);
      const bench = new LinearBench({ context, allocator, commands });
      const halves = type !== "f32" && (plan === null ? context.features.matrices : plan.kernel === "matrix");
      const limit = (halves ? tolerance.linearHalf : tolerance.linearFloat).max;
      const row = { kind: "linear-check", plan: planName(plan), type, device: context.adapterName };
      try {
        let worst = { error: -1, case: "" };
        let cases = 0;
        for (const shape of SHAPES) {
          for (const rows of rowCounts) {
            const chunks = shape.outputs === 70 ? { bindingLimit: 8192 } : {};
            const c: LinearCase = { type, rows, ...shape, ...chunks, ...(plan && { plan }) };
            const error = await bench.linearError(c);
            cases++;
            if (!(error <= worst.error)) worst = { error, case: `${rows} rows, ${shape.outputs}x${shape.cols}` };
            if (Number.isNaN(error)) break;
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
