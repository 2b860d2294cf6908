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
const MAX_COPY_PARTS = 64;
/** Tokens of sinks and window in the shortest parts that kernels have. */
const LEAST_COPY_KEYS = 64;

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

/** Parts that sinks and window are cut into. passKeys: tokens of a part */
export const copyParts = (tokens: number, passKeys: number): number =>
  Math.min(MAX_COPY_PARTS, Math.ceil(tokens / passKeys));

/** At least the parts that sinks and window of a row are cut into. */
export const mostCopyParts = (tokens: number): number => copyParts(tokens, LEAST_COPY_KEYS);

/** At least the parts that the codes of up to `rows` rows are cut into together. */
export function mostParts(numKvHeads: number, rows: number): number {
  return Math.max(rows, Math.min(rows * MAX_SPLITS, Math.floor(BATCH_TARGET_GROUPS / numKvHeads)));
}
