/** @file How the attention of a span of rows is cut into tiles of query rows and parts of the keys. */
import type { AttentionLayer, Span } from "../../ops.ts";
import { headParts } from "./head-parts.ts";

/** Workgroups that keep a large GPU busy; with fewer, tiles get smaller and the keys are split. */
const TARGET_GROUPS = 256;
/** Keys that are worth a split of their own. */
const MIN_SPLIT_KEYS = 512;
const MAX_SPLITS = 16;

/** How one span is cut. */
export interface PrefillPlan {
  /** Query rows of a tile, all heads of a group counted. */
  readonly rows: 32 | 64;
  /** Parts that the keys are cut into. */
  readonly splits: number;
}

export function planPrefill(
  layer: Pick<AttentionLayer, "numHeads" | "numKvHeads" | "slidingWindow">,
  span: Pick<Span, "start" | "count">,
): PrefillPlan {
  const { parts, heads } = headParts(layer);
  const groups = (rows: number): number => layer.numKvHeads * parts * Math.ceil(span.count / Math.floor(rows / heads));
  const end = span.start + span.count;
  const keys = layer.slidingWindow > 0 ? Math.min(end, layer.slidingWindow + span.count) : end;
  const splits = Math.max(
    1,
    Math.min(MAX_SPLITS, Math.floor(keys / MIN_SPLIT_KEYS), Math.ceil(TARGET_GROUPS / groups(64))),
  );
  return { rows: groups(64) * splits >= TARGET_GROUPS / 2 ? 64 : 32, splits };
}
