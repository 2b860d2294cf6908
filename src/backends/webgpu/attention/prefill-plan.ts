/** @file How the attention of a span of rows is cut into tiles of query rows and parts of the keys. */
import type { AttentionLayer, Span } from "../../ops.ts";
import { headParts } from "./head-parts.ts";

/** Workgroups that keep a large GPU busy; with fewer, tiles get smaller and the keys are split. */
const TARGET_GROUPS = 256;
/** Query rows of a tile on matrix units, all heads of a group counted: those of a workgroup, one to an invocation. */
export const MATRIX_ROWS = 256;
/** Workgroups on matrix units that run at the same time, one on each multiprocessor of an H200. */
const MATRIX_AT_ONCE = 132;
/** What such a workgroup costs besides its keys, and what a split costs when it is merged, in keys that are read in that time. */
const GROUP_KEYS = 256;
const MERGE_KEYS = 64;
/** Keys that are worth a split of their own. */
const MIN_SPLIT_KEYS = 512;
const MAX_SPLITS = 16;
/** Bytes of the parts of all rows beyond which a span has no second part. */
const PART_BYTES = 64 << 20;

export type PrefillRows = 32 | 64 | typeof MATRIX_ROWS;

/** How one span is cut. */
export interface PrefillPlan {
  /** Query rows of a tile, all heads of a group counted. */
  readonly rows: PrefillRows;
  /** Parts that the keys are cut into. */
  readonly splits: number;
}

/** The number of splits with which waves of workgroups take the least time. */
function matrixSplits(groups: number, keys: number, most: number): number {
  const cost = (splits: number): number =>
    Math.ceil((groups * splits) / MATRIX_AT_ONCE) * (keys / splits + GROUP_KEYS) + splits * MERGE_KEYS;
  let best = 1;
  for (let splits = 2; splits <= most; splits++) if (cost(splits) < cost(best)) best = splits;
  return best;
}

type Heads = Pick<AttentionLayer, "numHeads" | "numKvHeads" | "valueDim">;

/** Bytes of a part of a row: sums of values, a maximum and a sum of weights for each head. */
export const partBytes = ({ numHeads, valueDim }: Pick<Heads, "numHeads" | "valueDim">): number =>
  4 * numHeads * (valueDim + 2);

/** onMatrices: whether the layer's spans are attended on matrix units */
export function planPrefill(
  layer: Heads & Pick<AttentionLayer, "slidingWindow">,
  span: Pick<Span, "start" | "count">,
  onMatrices: boolean,
): PrefillPlan {
  const { parts, heads } = headParts(layer);
  const groups = (rows: number): number => layer.numKvHeads * parts * Math.ceil(span.count / Math.floor(rows / heads));
  const end = span.start + span.count;
  const keys = layer.slidingWindow > 0 ? Math.min(end, layer.slidingWindow + span.count) : end;
  const inRoom = Math.floor(PART_BYTES / (span.count * partBytes(layer)));
  const most = Math.max(1, Math.min(MAX_SPLITS, Math.floor(keys / MIN_SPLIT_KEYS), inRoom));
  if (onMatrices) return { rows: MATRIX_ROWS, splits: matrixSplits(groups(MATRIX_ROWS), keys, most) };
  const splits = Math.min(most, Math.ceil(TARGET_GROUPS / groups(64)));
  return { rows: groups(64) * splits >= TARGET_GROUPS / 2 ? 64 : 32, splits };
}

/** At least the bytes of the parts of any span of up to `rows` rows in a sequence of up to `tokens`, for heads of up to this width. */
export function mostPrefillBytes(layer: Heads, tokens: number, rows: number, onMatrices: boolean): number {
  // More keys never make fewer parts, nor do narrower heads, and spans of as many tiles have as many.
  const narrow = { ...layer, slidingWindow: 0, valueDim: 1 };
  const positions = Math.floor((onMatrices ? MATRIX_ROWS : 64) / headParts(layer).heads);
  let most = 0;
  for (let count = Math.min(rows, positions); ; count = Math.min(rows, count + positions)) {
    const span = { start: Math.max(0, tokens - count), count };
    most = Math.max(most, count * planPrefill(narrow, span, onMatrices).splits);
    if (count === rows) break;
  }
  const each = partBytes(layer);
  return Math.min(most * each, Math.max(PART_BYTES, rows * each));
}
