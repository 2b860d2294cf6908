/** @file The plans that a matrix product is chosen from: by rule, or by the tuner, which times them all. */
import type { WeightType } from "../../ops.ts";
import type { GpuContext } from "../device/context.ts";
import { BATCH_LINES, BATCH_TILES, canUseBatch, MAX_BATCH_ROWS } from "../linear/batch-plan.ts";
import type { GpuWeight } from "../linear/gpu-weight.ts";
import { canUseMatrices, fewRows, type LinearPlan, MATRIX_TILES, MAX_ROWS, planLinear } from "../linear/linear-plan.ts";
import { canUsePanels, SHARES } from "../linear/panel-plan.ts";
import { PANEL, TILE } from "../linear/panel-text.ts";

/** A product by its shape. gated: pairs of outputs make one value (`LinearKernels.runGated`) */
export interface ProductQuestion {
  readonly type: WeightType;
  readonly outputs: number;
  readonly cols: number;
  readonly rows: number;
  readonly gated: boolean;
}

/**
 * Numbers of rows that one plan is chosen for: those that the same kernel is made for, and beyond them those that fill as many tiles. returns: the
 * most of them
 */
export function rowClass(rows: number): number {
  if (rows <= MAX_ROWS) return 2 ** Math.ceil(Math.log2(rows));
  return BATCH_LINES.find((lines) => lines >= rows) ?? Math.ceil(rows / TILE) * TILE;
}

export const productKey = ({ type, outputs, cols, rows, gated }: ProductQuestion): string =>
  `product ${type} ${outputs}x${cols}, ${rowClass(rows)} rows${gated ? ", gated" : ""}`;

const ROW_COUNTS = [1, 2, 4] as const;
/** So few rows leave most of a matrix empty. */
const FEW_ROWS = 4;

/** The plan by rule. */
export function productRule(context: GpuContext, w: GpuWeight, rows: number, gated: boolean): LinearPlan {
  return gated ? { kernel: "rows", ...fewRows(context, w, rows, true) } : planLinear(context, w, rows);
}

/** Whether a plan can multiply so many rows by this weight. offset, total: as of `planLinear` */
export function canMultiply(
  context: GpuContext,
  w: GpuWeight,
  plan: LinearPlan,
  rows: number,
  offset = 0,
  total = w.rows,
): boolean {
  switch (plan.kernel) {
    case "rows":
      return rows <= MAX_ROWS;
    case "tiled":
      return true;
    case "batch":
      return rows <= MAX_BATCH_ROWS && canUseBatch(context, w, plan.tile);
    case "matrix":
      return !plan.views && canUseMatrices(context, w, plan.tile);
    case "panels":
      return offset % PANEL === 0 && total % PANEL === 0 && canUsePanels(context, w, rows);
  }
}

/**
 * Every plan for so many rows by this weight that does what the rule's does besides: kernels that take the norm before a product, or the gate, are
 * compared with each other, since the others would need a dispatch more.
 */
export function productSpace(context: GpuContext, w: GpuWeight, rows: number, gated: boolean): LinearPlan[] {
  const ofRows: LinearPlan[] = (gated ? ([1] as const) : ROW_COUNTS).flatMap((outputs) =>
    ROW_COUNTS.map((unroll) => ({ kernel: "rows" as const, outputs, unroll })),
  );
  if (gated) return ofRows;
  const rule = planLinear(context, w, rows);
  const plans: LinearPlan[] =
    rule.kernel === "rows" || rule.kernel === "batch"
      ? [...ofRows, ...(rows > FEW_ROWS ? BATCH_TILES.map((tile) => ({ kernel: "batch" as const, tile })) : [])]
      : [
          ...SHARES.map((shares) => ({ kernel: "panels" as const, shares })),
          ...MATRIX_TILES.map((tile) => ({ kernel: "matrix" as const, tile, views: false })),
          // What no device with matrix units would take is not worth its time.
          ...(context.features.matrices && w.fitsHalf
            ? []
            : [2, 4, 8].map((each) => ({ kernel: "tiled" as const, each }))),
        ];
  return plans.filter((plan) => canMultiply(context, w, plan, rows));
}

export function productName(plan: LinearPlan): string {
  if (plan.kernel === "rows") return `rows, ${plan.outputs} outputs, ${plan.unroll} units`;
  if (plan.kernel === "tiled") return `tiled, ${plan.each} rows`;
  if (plan.kernel === "panels") return `panels, ${plan.shares} ${plan.shares === 1 ? "share" : "shares"}`;
  if (plan.kernel === "batch") {
    const { outputs, subgroups, unroll } = plan.tile;
    return `batch, ${outputs} outputs, ${subgroups} subgroups, ${unroll} panels`;
  }
  const { rows, outputs, partRows, partOutputs } = plan.tile;
  return `matrix ${rows}x${outputs} of ${partRows}x${partOutputs}${plan.views ? ", views" : ""}`;
}

/** Every plan there is, whatever the device and the shape: what a file may name. */
export const PRODUCT_PLANS: readonly LinearPlan[] = [
  ...ROW_COUNTS.flatMap((outputs) => ROW_COUNTS.map((unroll) => ({ kernel: "rows" as const, outputs, unroll }))),
  ...[2, 4, 8].map((each) => ({ kernel: "tiled" as const, each })),
  ...BATCH_TILES.map((tile) => ({ kernel: "batch" as const, tile })),
  ...MATRIX_TILES.map((tile) => ({ kernel: "matrix" as const, tile, views: false })),
  ...SHARES.map((shares) => ({ kernel: "panels" as const, shares })),
];
