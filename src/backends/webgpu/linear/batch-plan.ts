/** @file How a product of a batch of few rows is cut, and what its input takes. */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { Load } from "../../planner.ts";
import type { GpuContext } from "../device/context.ts";
import { type BatchShape, batchBytes } from "./batch-text.ts";
import type { GpuWeight } from "./gpu-weight.ts";
import { PANEL } from "./panel-text.ts";

/** More rows are multiplied from panels of the weight too. */
export const MAX_BATCH_ROWS = 64;
/** Numbers of lines that there are kernels for. */
export const BATCH_LINES = [16, 32, 64] as const;

/** Of a workgroup, without the rows. */
export type BatchTile = Omit<BatchShape, "rows">;

/** Where few outputs make few workgroups, each has more subgroups. */
const BATCH: BatchTile = { outputs: 16, subgroups: 8, unroll: 4 };
const WIDE_BATCH: BatchTile = { outputs: 16, subgroups: 16, unroll: 4 };
const WIDE_UP_TO = 2048;
/** Weights that are not f16 go through workgroup memory. The first that fits it is taken; the wide one where there are many outputs. */
const WIDE_STAGED: BatchTile = { outputs: 32, subgroups: 8, unroll: 4 };
const STAGED_BATCHES: readonly BatchTile[] = [
  { outputs: 16, subgroups: 8, unroll: 4 },
  { outputs: 16, subgroups: 8, unroll: 2 },
];
export const BATCH_TILES: readonly BatchTile[] = [16, 32].flatMap((outputs) =>
  [8, 16].flatMap((subgroups) => [2, 4].map((unroll) => ({ outputs, subgroups, unroll }))),
);
/** Whether up to MAX_BATCH_ROWS rows can be multiplied by this weight. */
export function canUseBatch({ features, limits }: GpuContext, w: GpuWeight, tile: BatchTile): boolean {
  const shape = { rows: MAX_BATCH_ROWS, ...tile };
  return (
    features.matrices &&
    features.subgroupSize === 32 &&
    w.fitsHalf &&
    w.cols % PANEL === 0 &&
    w.chunks.every((chunk) => chunk.rows % PANEL === 0) &&
    limits.maxComputeWorkgroupStorageSize >= batchBytes(shape, !wgslWeightFormat(w.type).isHalf) &&
    limits.maxComputeInvocationsPerWorkgroup >= tile.subgroups * 32
  );
}

/** The tile by rule, or null where there is none for this weight. */
export function batchTile(context: GpuContext, w: GpuWeight): BatchTile | null {
  const isFew = w.rows <= WIDE_UP_TO;
  const staged = isFew ? STAGED_BATCHES : [WIDE_STAGED, ...STAGED_BATCHES];
  const tiles = wgslWeightFormat(w.type).isHalf ? [isFew ? WIDE_BATCH : BATCH] : staged;
  return tiles.find((tile) => canUseBatch(context, w, tile)) ?? null;
}

/** Panels of an input of so many columns: every subgroup has as many turns. */
export const batchPanels = (cols: number, { subgroups, unroll }: BatchTile): number =>
  Math.ceil(cols / (PANEL * subgroups * unroll)) * subgroups * unroll;

/** Bytes of an input of so many rows as f16. */
export const batchPanelBytes = (rows: number, cols: number, tile: BatchTile): number =>
  BATCH_LINES.find((lines) => lines >= rows)! * batchPanels(cols, tile) * PANEL * 2;

/** The most bytes that a batch of these matrices' inputs takes beside the activations: of the widest, since panels grow with columns. */
export function batchRoom(matrices: Load["matrices"]): number {
  const widest = matrices.reduce((most, { cols }) => Math.max(most, cols), 0);
  return Math.max(...BATCH_TILES.map((tile) => batchPanelBytes(MAX_BATCH_ROWS, widest, tile)));
}
