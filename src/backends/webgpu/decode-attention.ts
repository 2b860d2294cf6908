/**
 * @file Attention of tokens that are decoded one by one: the keys are cut into as many parts as keep a GPU busy, one more
 * reads the 16-bit copies. attend-merge.wgsl joins the parts.
 */
import type { LayerCache } from "../../cache/kv-cache.ts";
import type { AttentionLayer } from "../ops.ts";
import type { GpuBuffer } from "./buffers.ts";
import type { TableUse } from "./code-words.ts";
import type { Commands } from "./commands.ts";
import type { GpuContext } from "./context.ts";
import {
  accumulatorsText,
  type DecodeShape,
  outputText,
  queryText,
  scoresText,
  softmaxText,
  tablesText,
  typesText,
  weightedSumText,
} from "./decode-text.ts";
import { shaders } from "./generated/shaders.ts";
import type { Kernel } from "./kernel.ts";
import { SLOT_MASK } from "./page-storage.ts";
import { entryText, tableEntries } from "./read-text.ts";
import { shaderText } from "./shader-text.ts";

/** Workgroups that keep a large GPU busy, and a CPU. */
const TARGET_GROUPS = 1056;
const SOFTWARE_GROUPS = 8;
const MAX_SPLITS = 128;
/** Neighbouring lanes read a table each up to this many; more would hit banks that are taken again. */
const MAX_COPIES = 32;
/** Workgroup memory beyond which too few workgroups share a compute unit. */
const MAX_BYTES = 40960;

/** What benchmarks try; the defaults are what won. */
export interface DecodeTuning {
  readonly copies?: number;
  readonly threads?: 128 | 256;
  readonly targetGroups?: number;
}

export interface DecodeOptions {
  readonly layer: AttentionLayer;
  readonly cache: LayerCache;
  /** Where the centroids of each side begin. */
  readonly centroidsAt: { readonly k: number; readonly v: number };
  readonly tuning?: DecodeTuning;
}

export interface DecodeBuffers {
  readonly step: GpuBuffer;
  readonly pages: GpuBuffer;
  readonly exactPages: GpuBuffer;
  readonly centroids: GpuBuffer;
  readonly q: GpuBuffer;
  /** [row][head][part][headDim] */
  readonly parts: GpuBuffer;
  /** [row][head][part]: maximum, sum of the weights */
  readonly stats: GpuBuffer;
}

export interface DecodeKernel {
  readonly kernel: Kernel;
  /** Keys that a workgroup reads at a time. */
  readonly passKeys: number;
}

const powerBelow = (n: number): number => 2 ** Math.floor(Math.log2(n));

function shapeOf(context: GpuContext, { layer, cache, tuning }: DecodeOptions): DecodeShape {
  const { headDim, numHeads, numKvHeads } = layer;
  const { f16, subgroupSize } = context.features;
  const threads = tuning?.threads ?? (context.limits.maxComputeWorkgroupStorageSize < 32768 ? 128 : 256);
  const units = headDim / 8;
  const subgroups = subgroupSize >= 4 && threads % subgroupSize === 0;
  const fits = ([4, 2, 1] as const).filter((n) => units % n === 0);
  // Whole quads of units are read 16 bytes at a time.
  const wide = fits.find((n) => (units / n) % 4 === 0 && n > 1) ?? fits[0]!;
  const half = (type: string): boolean => f16 && subgroups && type.startsWith("tq");
  return {
    headDim,
    group: numHeads / numKvHeads,
    threads,
    lanes: subgroups ? wide : 1,
    keyGroups: Math.min(64, powerBelow(threads / units)),
    subgroups,
    halfK: half(cache.main.k.type),
    halfV: half(cache.main.v.type),
  };
}

/** The kernel of a layer's format and shape; its parts of several rows lie one after the other. */
export function decodeKernel(commands: Commands, options: DecodeOptions): DecodeKernel {
  const { context } = commands;
  const { layer, cache, centroidsAt, tuning } = options;
  const { format, headDim } = layer;
  const { main, exact } = cache;
  const shape = shapeOf(context, options);
  const { threads, group } = shape;
  const shared = format.k.type === format.v.type;
  const kEntries = tableEntries(format.k);
  const vAt = shared ? 0 : kEntries;
  const entries = vAt + tableEntries(format.v);
  const sumWords = 8 * shape.keyGroups * (headDim / 8);
  const half = shape.halfK || shape.halfV;
  const otherWords = (threads + (half ? headDim / 2 : 0)) * group + 2 * threads;
  const limit = Math.min(context.limits.maxComputeWorkgroupStorageSize, MAX_BYTES) / 4 - otherWords;
  const copies = Math.max(1, Math.min(tuning?.copies ?? MAX_COPIES, powerBelow(limit / Math.max(1, entries))));
  const use = (isHalf: boolean, tableAt: number): TableUse => ({ half: isHalf, tableAt, copies, copy: "copy" });
  const sides = { main, exact, k: use(shape.halfK, 0), v: use(shape.halfV, vAt) };
  const tables = [
    { at: 0, entries: kEntries, word: kEntries > 0 ? entryText(format.k, centroidsAt.k) : "0u" },
    ...(shared ? [] : [{ at: vAt, entries: tableEntries(format.v), word: entryText(format.v, centroidsAt.v) }]),
  ].filter((table) => table.entries > 0);
  const key = `attend-decode ${JSON.stringify([format.k.type, format.v.type, shape, main, exact, copies, centroidsAt])}`;
  const kernel = commands.kernel(key, () => ({
    label: `attention of single tokens, K ${format.k.type}, V ${format.v.type}${half ? ", f16" : ""}${shape.subgroups ? ", subgroups" : ""}`,
    code: shaderText(
      "attend-decode",
      shaders["attend-decode"],
      {
        HALF: half,
        SUBGROUPS: shape.subgroups,
        HAS_EXACT: exact !== null,
        HEAD_DIM: headDim,
        NUM_HEADS: layer.numHeads,
        GROUP: group,
        THREADS: threads,
        LANES: shape.lanes,
        KEY_GROUPS: shape.keyGroups,
        LUT_WORDS: Math.max(entries * copies, sumWords),
        SLOT_MASK,
        PAGE_BYTES: main.numBytes,
        ...(exact && { EXACT_TOKENS: exact.pageTokens, EXACT_BYTES: exact.numBytes }),
        ...(shape.subgroups && {
          SUBGROUP: context.features.subgroupSize,
          NUM_SUBGROUPS: threads / context.features.subgroupSize,
        }),
      },
      {
        TYPES: typesText(shape),
        ACCUMULATORS: accumulatorsText(shape),
        TABLES: tablesText(tables)(copies),
        QUERY: half ? queryText(shape) : "",
        SCORES: scoresText(shape, sides),
        SOFTMAX: softmaxText(shape, sides),
        WEIGHTED_SUM: weightedSumText(shape, sides),
        OUTPUT: outputText(shape),
      },
    ),
    buffers: ["read", "read", "read", "read", "read", "read", "write", "write"],
  }));
  return { kernel, passKeys: threads };
}

type Planned = Pick<DecodeOptions, "layer" | "tuning">;

/** The most parts that planDecode cuts the codes of `rows` rows into, however long they get. */
export function mostSplits(context: GpuContext, { layer, tuning }: Planned, rows: number): number {
  const target = tuning?.targetGroups ?? (context.isSoftware ? SOFTWARE_GROUPS : TARGET_GROUPS);
  return Math.min(MAX_SPLITS, Math.max(1, Math.floor(target / (layer.numKvHeads * rows))));
}

/** Parts that the codes are cut into. keys: of the longest row · rows: decoded at once */
export function planDecode(
  context: GpuContext,
  options: Planned,
  passKeys: number,
  keys: number,
  rows: number,
): number {
  const { slidingWindow } = options.layer;
  const passes = Math.max(1, Math.ceil((slidingWindow > 0 ? Math.min(keys, slidingWindow) : keys) / passKeys));
  const most = mostSplits(context, options, rows);
  // Parts of equal length: the longest decides.
  return Math.ceil(passes / Math.ceil(passes / most));
}

/** Queues the attention of the step's rows that are listed from word `listAt` on. splits: as planned */
export function attendDecode(
  commands: Commands,
  { layer, cache }: DecodeOptions,
  { kernel }: DecodeKernel,
  splits: number,
  at: { readonly listAt: number; readonly rowsAt: number; readonly spansAt: number; readonly rows: number },
  { step, pages, exactPages, centroids, q, parts, stats }: DecodeBuffers,
): void {
  const { window, sinks } = layer.format;
  commands.dispatch(
    kernel,
    [at.listAt, at.rowsAt, at.spansAt, splits, window, sinks, layer.slidingWindow],
    [step, pages, pages, exactPages, q, centroids, parts, stats],
    layer.numKvHeads,
    splits + (cache.exact ? 1 : 0),
    at.rows,
  );
}
