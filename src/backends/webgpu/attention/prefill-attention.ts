/**
 * @file Attention of spans that are too long to be attended token by token: tiles of query rows over tiles of keys.
 *
 * Leaves sums that are not normalised yet, in V's stored space, and their maxima and weights; the merge of
 * decode attention finishes them.
 */
import type { Span } from "../../ops.ts";
import type { Commands } from "../queue/commands.ts";
import type { AttendBuffers, PassParts } from "./attend-options.ts";
import { headParts } from "./head-parts.ts";
import { type PrefillOptions, prefillKernel } from "./prefill-kernels.ts";
import type { PrefillPlan } from "./prefill-plan.ts";

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
  ofPass: PassParts = { firstPart: 0, allParts: plan.splits },
): void {
  const { layer } = options;
  const { numKvHeads, slidingWindow, isChunked = false } = layer;
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
      sliding: isChunked ? 0 : slidingWindow,
      chunk: isChunked ? slidingWindow : 0,
      firstPart: ofPass.firstPart,
      allParts: ofPass.allParts,
    },
    [step, pages, pages, residualPages, centroids, q, parts, stats],
    numKvHeads * headPartCount,
    tiles,
    plan.splits,
  );
}
