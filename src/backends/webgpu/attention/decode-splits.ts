/** @file The number of parts that the keys of a decoded token are cut into. */
import { isFloat } from "../../../quant/codecs/registry.ts";
import type { AttentionLayer } from "../../ops.ts";

/**
 * Number of workgroups that keep a large GPU busy, and a CPU. Several rows have shorter parts, which leave it idle at their ends.
 * Of floats, whose kernels take more registers, 792 workgroups with short passes run at the same time on 132 multiprocessors, and
 * some more would take as long as twice as many.
 */
const TARGET_GROUPS = 528;
const BATCH_TARGET_GROUPS = 1056;
const BATCH_FLOAT_GROUPS = 792;
const SOFTWARE_GROUPS = 8;
const MAX_SPLITS = 128;

export interface SplitOptions {
  readonly layer: Pick<AttentionLayer, "numKvHeads" | "kv">;
  /** A benchmark may aim at another number of workgroups. */
  readonly tuning?: { readonly targetGroups?: number } | undefined;
}

/** The most parts that the codes of `rows` rows are cut into, however long they get. */
export function mostSplits(isSoftware: boolean, { layer, tuning }: SplitOptions, rows: number): number {
  const several = isFloat(layer.kv.format.k) ? BATCH_FLOAT_GROUPS : BATCH_TARGET_GROUPS;
  const target = tuning?.targetGroups ?? (isSoftware ? SOFTWARE_GROUPS : rows > 1 ? several : TARGET_GROUPS);
  return Math.min(MAX_SPLITS, Math.max(1, Math.floor(target / (layer.numKvHeads * rows))));
}

/** At least the parts that the codes of up to `rows` rows are cut into together. */
export function mostParts(numKvHeads: number, rows: number): number {
  return Math.max(rows, Math.min(rows * MAX_SPLITS, Math.floor(BATCH_TARGET_GROUPS / numKvHeads)));
}
