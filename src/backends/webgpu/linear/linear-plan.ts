/**
 * @file Chooses the kernel for a matrix product. The limits were found
 * with `bench/gpu/main.ts linear`, which can pass a plan of its own.
 */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { GpuContext } from "../device/context.ts";
import { BATCH_LINES, type BatchTile, batchTile, MAX_BATCH_ROWS } from "./batch-plan.ts";
import type { GpuWeight } from "./gpu-weight.ts";
import { type MatrixTile, tileBytes, tileThreads } from "./matrix-text.ts";
import { canUsePanels, sharesOf } from "./panel-plan.ts";
import { PANEL } from "./panel-text.ts";

export type LinearPlan =
  /** A group of lanes computes an output: a weight is read once for up to eight rows. */
  | { readonly kernel: "rows"; readonly outputs: number; readonly unroll: number }
  /** Tiles of 16 · each rows × 64 outputs, f32. */
  | { readonly kernel: "tiled"; readonly each: number }
  /** Matrix units, a batch of few rows: the weight is read once, as it is stored. */
  | { readonly kernel: "batch"; readonly tile: BatchTile }
  /** Matrix units, f16 × f16 → f32. `views`: staged as vectors, which needs the language feature `buffer_view`. */
  | { readonly kernel: "matrix"; readonly tile: MatrixTile; readonly views: boolean }
  /** Matrix units that read panels written beforehand. The columns of a tile are divided among this many workgroups. */
  | { readonly kernel: "panels"; readonly shares: number };

/** Up to this many rows, a weight is read once for all of them by the lanes that share an output. */
export const MAX_ROWS = 8;
/** Matrix units take products with weights of halves, or of codes with scales, from this many rows on: there they were measured to be faster. */
const FEWEST_MEASURED_ROWS = 5;

/** The fewest rows of a product that goes to matrix units. Weights of types that were not measured stay with the other kernel as long as it takes them. */
export function fewestBatchRows(type: GpuWeight["type"]): number {
  const { isHalf, unitScaleBytes } = wgslWeightFormat(type);
  return isHalf || unitScaleBytes > 0 ? FEWEST_MEASURED_ROWS : MAX_ROWS + 1;
}

const LARGE: MatrixTile = { rows: 128, outputs: 128, partRows: 64, partOutputs: 32 };
const SMALL: MatrixTile = { rows: 64, outputs: 64, partRows: 32, partOutputs: 32 };
/** The tiles that the benchmark chooses from. */
export const MATRIX_TILES: readonly MatrixTile[] = [
  LARGE,
  SMALL,
  { rows: 128, outputs: 128, partRows: 64, partOutputs: 64 },
  { rows: 64, outputs: 128, partRows: 32, partOutputs: 64 },
  { rows: 32, outputs: 64, partRows: 16, partOutputs: 32 },
  { rows: 16, outputs: 128, partRows: 16, partOutputs: 64 },
];
/** With fewer workgroups of the large tile, many small ones use more of the device. */
const ENOUGH_GROUPS = 128;

/** Whether the matrix kernel is as accurate as the device's other kernels; see `GpuWeight.fitsHalf`. */
export function canUseMatrices({ features, limits }: GpuContext, w: GpuWeight, tile: MatrixTile): boolean {
  return (
    features.matrices &&
    features.subgroupSize === 32 &&
    w.fitsHalf &&
    limits.maxComputeWorkgroupStorageSize >= tileBytes(tile) &&
    limits.maxComputeInvocationsPerWorkgroup >= tileThreads(tile)
  );
}

/** offset, total: of a run of a stack, the place of its outputs in a row of the result, and the length of that row */
export function planLinear(context: GpuContext, w: GpuWeight, rows: number, offset = 0, total = w.rows): LinearPlan {
  const batch = rows >= fewestBatchRows(w.type) && rows <= MAX_BATCH_ROWS ? batchTile(context, w) : null;
  if (batch) return { kernel: "batch", tile: batch };
  if (rows <= MAX_ROWS) return { kernel: "rows", ...fewRows(context, w, rows) };
  const isAligned = offset % PANEL === 0 && total % PANEL === 0;
  if (isAligned && canUsePanels(context, w, rows)) return { kernel: "panels", shares: sharesOf(w, rows) };
  const groups = Math.ceil(w.rows / LARGE.outputs) * Math.ceil(rows / LARGE.rows);
  const tile = groups < ENOUGH_GROUPS || rows <= SMALL.rows ? SMALL : LARGE;
  if (canUseMatrices(context, w, tile)) return { kernel: "matrix", tile, views: false };
  return { kernel: "tiled", each: rows <= 64 || context.isSoftware ? 4 : 8 };
}

/**
 * Numbers of rows that together need every kernel of steps with up to `most` rows, the largest first. more: those below `most` for which the tuner has
 * found other plans
 */
export function warmUpRows(
  most: number,
  { features }: { readonly features: { readonly matrices: boolean } },
  more: readonly number[] = [],
): number[] {
  const batches = features.matrices ? [...BATCH_LINES] : [SMALL.rows];
  const counts = new Set([...batches, 8, 4, 2, 1, ...more]);
  return [most, ...[...counts].filter((rows) => rows < most).sort((a, b) => b - a)];
}

/** Fewer outputs are not shared out in pairs, because half as many workgroups would not keep a GPU busy. */
const PAIRED_OUTPUTS = 4096;
/** Heads of vocabularies. */
const MANY_OUTPUTS = 65_536;

/** For up to MAX_ROWS rows. gated: each output takes two rows of the weight */
export function fewRows(
  { isSoftware }: GpuContext,
  w: Pick<GpuWeight, "rows" | "type">,
  rows: number,
  gated = false,
): { outputs: number; unroll: number } {
  // On a CPU there is no latency to hide by loading ahead.
  if (isSoftware) return { outputs: 1, unroll: 1 };
  if (rows === 1 && gated) return { outputs: 1, unroll: 2 };
  // Unpacked codes with their scales fill the registers, so fewer units are loaded ahead.
  if (rows === 1 && wgslWeightFormat(w.type).unitScaleBytes > 0) {
    return { outputs: w.rows >= MANY_OUTPUTS ? 4 : 1, unroll: 2 };
  }
  if (rows === 1) return { outputs: 1, unroll: 4 };
  if (rows <= 4) return { outputs: 1, unroll: gated ? 1 : 2 };
  // x is read for every row, so several outputs of a group of lanes share it.
  return { outputs: gated || w.rows < PAIRED_OUTPUTS ? 1 : 2, unroll: 1 };
}
