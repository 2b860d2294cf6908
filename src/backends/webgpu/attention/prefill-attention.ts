/**
 * @file Attention of spans that are too long to be attended token by token: tiles of query rows over tiles of keys.
 *
 * Leaves sums that are not normalised yet, in V's stored space, and their maxima and weights; the merge of
 * decode attention finishes them.
 */
import { TurboQuantError } from "../../../errors.ts";
import { nameOf } from "../../../quant/codecs/registry.ts";
import type { Span } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { SLOT_MASK } from "../queue/page-storage.ts";
import { shader } from "../queue/shader-text.ts";
import type { AttendBuffers, AttendOptions } from "./attend-options.ts";
import { headParts } from "./head-parts.ts";
import type { PrefillPlan } from "./prefill-plan.ts";
import {
  accumulatorsText,
  outputText,
  prefillReaders,
  scoresText,
  stagingText,
  sumShape,
  weightedSumText,
} from "./prefill-text.ts";

const params = new Struct({
  row: ["u32", "First row of the span in q and its position."],
  start: "u32",
  count: "u32",
  record: ["u32", "Word of the span's record in `step`."],
  splits: ["u32", "Parts that the keys are cut into."],
  sinks: ["u32", "Tokens of the sinks, of the residual window, and of a sliding window, 0 without one."],
  window: "u32",
  sliding: "u32",
});

export interface PrefillOptions extends AttendOptions {
  /** Workgroup memory to use; all that the adapter has by default. */
  readonly workgroupBytes?: number | undefined;
}

/** Keys of a tile: as many as fit beside everything else. */
function keysOf(rows: number, headDim: number, entries: number, limit: number): number {
  for (const keys of [32, 16, 8, 4]) {
    const quads = keys * (headDim / 4 + 1 + rows / 4 + 1) + rows + rows / 4;
    if (quads * 16 + entries * 4 <= limit) return keys;
  }
  throw new TurboQuantError(
    "unsupported",
    `webgpu: attention of head_dim ${headDim} does not fit ${limit} bytes of workgroup memory; use --backend wasm`,
  );
}

/** The kernel for tiles of `rows`, made once for each format and shape. */
function prefillKernel(
  commands: Commands,
  { layer, cache, centroidsAt, workgroupBytes }: PrefillOptions,
  rows: 32 | 64,
): Kernel<typeof params> {
  const { headDim, numHeads, numKvHeads } = layer;
  const { k, v } = layer.kv.format;
  const limit = workgroupBytes ?? commands.context.limits.maxComputeWorkgroupStorageSize;
  const key = `attend-prefill ${nameOf(k)} ${nameOf(v)} ${headDim} ${numHeads}/${numKvHeads} ${cache.residual !== null} ${rows} ${centroidsAt.k} ${centroidsAt.v} ${limit}`;
  return commands.kernel(key, () => {
    const { main, residual } = cache;
    const readers = prefillReaders(k, v, main, residual?.layout ?? null, centroidsAt);
    const shape = sumShape(headDim);
    const { parts, heads } = headParts(layer);
    const keys = keysOf(rows, headDim, readers.entries, limit);
    return {
      label: `attention of spans, K ${nameOf(k)}, V ${nameOf(v)}, tiles of ${rows} rows`,
      shader: shader(
        "attend-prefill",
        params,
        {
          HEAD_DIM: headDim,
          NUM_HEADS: numHeads,
          GROUP: heads,
          PARTS: parts,
          KV_GROUP: numHeads / numKvHeads,
          ROWS: rows,
          KEYS: keys,
          LANES: shape.lanes,
          BAND: shape.band,
          TABLE: readers.entries,
          SLOT_MASK,
          PAGE_TOKENS: main.pageTokens,
          PAGE_BYTES: main.numBytes,
          HAS_RESIDUAL: residual !== null,
          ...(residual && { RESIDUAL_TOKENS: residual.layout.pageTokens, RESIDUAL_BYTES: residual.layout.numBytes }),
        },
        {
          READERS: readers.text,
          TABLES: readers.tables,
          STAGING: stagingText(residual !== null),
          SCORES: scoresText(keys),
          ACCUMULATORS: accumulatorsText(shape),
          WEIGHTED_SUM: weightedSumText(shape),
          OUTPUT: outputText(shape),
        },
      ),
      buffers: ["read", "read", "read", "read", "read", "read", "write", "write"],
    };
  });
}

/**
 * Queues the attention of one span. record: word of its record for this layer in `step`.
 * Spans of different plans share no `parts`: merge one before the next is attended.
 */
export function attendPrefill(
  commands: Commands,
  options: PrefillOptions,
  plan: PrefillPlan,
  span: Pick<Span, "row" | "start" | "count">,
  record: number,
  buffers: AttendBuffers,
): void {
  const { layer } = options;
  const { numKvHeads, slidingWindow } = layer;
  const { format } = layer.kv;
  const { parts: headPartCount, heads } = headParts(layer);
  const { step, pages, residualPages, centroids, q, parts, stats } = buffers;
  const tiles = Math.ceil(span.count / Math.floor(plan.rows / heads));
  commands.dispatch(
    prefillKernel(commands, options, plan.rows),
    {
      row: span.row,
      start: span.start,
      count: span.count,
      record,
      splits: plan.splits,
      sinks: format.sinks,
      window: format.window,
      sliding: slidingWindow,
    },
    [step, pages, pages, residualPages, centroids, q, parts, stats],
    numKvHeads * headPartCount,
    tiles,
    plan.splits,
  );
}
