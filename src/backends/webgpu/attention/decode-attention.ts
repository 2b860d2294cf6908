/**
 * @file Attention of decoded tokens, one by one. The keys are cut into as many parts as keep a GPU busy, and further parts read
 * the 16-bit copies. attend-merge.wgsl joins all parts.
 */
import { isFloat, nameOf } from "../../../quant/codecs/registry.ts";
import type { PageLayout, SideLayout } from "../../../quant/page-layout.ts";
import { windowSide } from "../../../quant/window-side.ts";
import { Struct } from "../../parameters/struct.ts";
import { FLOATS } from "../codec/read-text.ts";
import { wgslCodecs } from "../codec/registry.ts";
import { sideTables, tablesText } from "../codec/side-tables.ts";
import type { TableUse } from "../codec/table-text.ts";
import type { GpuContext } from "../device/context.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { SLOT_MASK } from "../queue/page-storage.ts";
import { shader } from "../queue/shader-text.ts";
import { STEP_VALUES } from "../queue/step-records.ts";
import { type AttendBuffers, type AttendOptions, type PassParts, sidesOf, tierValues } from "./attend-options.ts";
import { ARRAYS, lines, wordsType } from "./attend-text.ts";
import { copyParts, mostSplits } from "./decode-splits.ts";
import { accumulatorsText, type DecodeShape, outputText, passText, queryText } from "./decode-text.ts";
import { type HeadParts, headParts } from "./head-parts.ts";
import {
  portableAccumulators,
  portableOutput,
  portableScores,
  portableSoftmax,
  portableWeightedSum,
} from "./portable-text.ts";
import { softcapText } from "./softcap-text.ts";

/** Share of the target number of workgroups from which on a kernel counts as having enough work. */
const BUSY_SHARE = 0.9;
/** Workgroups of several rows of which fewer are not made fewer still for the sake of longer parts. */
const ENOUGH_GROUPS = 528;
/** Invocations in a workgroup. */
const THREADS = 128;
/**
 * The most interleaved copies of a table, which spare neighbouring lanes bank conflicts. More would leave room for fewer workgroups.
 */
const MAX_COPIES = 8;
/** Values of a lane that are loaded at once by kernels for several rows: all of a pass with 128 coordinates on 32 lanes. */
const WHOLE_PASS = 16;
/**
 * The most query heads of a workgroup that reads raw floats. With eight, registers do not suffice: two workgroups that read the same
 * keys take 0.4 of the time.
 */
const MOST_FLOAT_HEADS = 4;
/** The most units of eight coordinates that a lane of a narrow subgroup may have to keep. */
const MAX_UNITS = 4;

/** Of both kernels that attend single tokens. */
const params = new Struct({
  listAt: ["u32", "Words of `step`: the list of rows to attend, the rows, and the layer's span records."],
  rowsAt: "u32",
  spansAt: "u32",
  splits: ["u32", "Parts of the codes, and those of the copies, which come first."],
  copySplits: "u32",
  window: ["u32", "Tokens of the residual window, of the sinks, and of a sliding window, 0 without one."],
  sinks: "u32",
  sliding: "u32",
  chunk: ["u32", "Positions of a chunk that a query attends within, 0 without chunks."],
  firstPart: ["u32", "The first part of this pass, and the parts of all passes."],
  allParts: "u32",
});

/** Settings that benchmarks vary; the defaults were the fastest. */
export interface DecodeTuning {
  readonly copies?: number;
  readonly threads?: 32 | 64 | 128 | 256 | 512;
  readonly targetGroups?: number;
  readonly lanes?: 1 | 2 | 4;
  readonly unroll?: number;
  readonly own?: DecodeShape["own"];
  /** The most query heads of a workgroup. */
  readonly heads?: number;
}

export interface DecodeOptions extends AttendOptions {
  readonly tuning?: DecodeTuning;
}

export interface DecodeKernel {
  readonly kernel: Kernel<typeof params>;
  /** Passes that a part should have at least: two where the loads of the first pass take long to arrive, because there are many. */
  readonly leastPasses: 1 | 2;
  /** Workgroups that share the query heads of a KV head. */
  readonly parts: number;
  /** Keys that a workgroup reads in one pass. */
  readonly passKeys: number;
  /** Number of parts of the 16-bit copies, each of one pass. */
  readonly copySplits: number;
}

type KernelList = readonly [DecodeKernel, ...DecodeKernel[]];

/** The kernels of one layer, for one row and for several that are decoded together; those with the longest passes come first. */
export interface DecodeKernels {
  readonly alone: KernelList;
  readonly together: KernelList;
}

/** Of the kernels whose lanes exchange keys. */
const headPartsOf = ({ layer, tuning }: DecodeOptions): HeadParts =>
  headParts(layer, tuning?.heads ?? (isFloat(layer.kv.format.k) ? MOST_FLOAT_HEADS : undefined));

const powerBelow = (n: number): number => 2 ** Math.floor(Math.log2(n));

/** Whether the lanes of subgroups of this size can exchange keys. subgroup: 0 when there are none or their size varies */
export const canHandOver = (subgroup: number, threads: number = THREADS): boolean =>
  subgroup >= 4 && subgroup <= 64 && threads % subgroup === 0;

/**
 * null when lanes cannot exchange values, or when registers or workgroup memory do not suffice.
 * own: keys of a lane in a pass · unroll: values of a lane that are loaded at once
 */
function shapeOf(
  context: GpuContext,
  options: DecodeOptions,
  own: DecodeShape["own"],
  // Passes with few keys leave registers for more values.
  unroll = own === 4 ? 4 : 8,
): DecodeShape | null {
  const { layer, cache, tuning } = options;
  const { headDim, valueDim, rotaryKeyDim, softcap } = layer;
  // Rotary parts are read by the other kernel alone.
  if (rotaryKeyDim > 0) return null;
  const { f16, subgroupSize: subgroup } = context.features;
  const units = valueDim / 8;
  const threads = tuning?.threads ?? THREADS;
  if (!canHandOver(subgroup, threads) || units > subgroup * MAX_UNITS) return null;
  const half = ({ side }: SideLayout): boolean => f16 && wgslCodecs.of(side).isBounded;
  const { heads: group } = headPartsOf(options);
  const [halfK, halfV] = [half(cache.main.k), half(cache.main.v)];
  const keyGroups = units < subgroup ? powerBelow(subgroup / units) : 1;
  const subgroups = threads / subgroup;
  // Workgroup memory for the sums of all subgroups, their maxima, and the query in f16.
  const words = (8 * units * keyGroups + group) * subgroups + (halfK || halfV ? (headDim / 2) * group : 0);
  if (words * 4 > context.limits.maxComputeWorkgroupStorageSize) return null;
  // Rows of floats are long, so lanes share one and read neighbouring words.
  const isWide = !wgslCodecs.of(cache.main.k.side).isBounded;
  const sharing = (wanted: number) => ([4, 2, 1] as const).find((n) => n <= wanted && (headDim / 8) % n === 0) ?? 1;
  return {
    headDim,
    valueDim,
    group,
    subgroup,
    lanes: sharing(tuning?.lanes ?? (isWide ? 4 : 1)),
    copyLanes: sharing(4),
    keyGroups,
    unitsPerLane: Math.ceil(units / subgroup),
    own,
    prefetch: !context.isSoftware,
    softcap,
    unroll: tuning?.unroll ?? (context.isSoftware ? 1 : unroll),
    halfK,
    halfV,
  };
}

/**
 * The kernels for a layer's format and shape: for a row, one for long contexts, and others for contexts that would not give every core
 * a pass. Several rows have enough parts with shorter passes, which take fewer registers, so that more of them run at the same
 * time; and with all values of a pass under way before its keys are scored.
 */
export function decodeKernels(commands: Commands, options: DecodeOptions): DecodeKernels {
  const { tuning, cache } = options;
  // A CPU compiles kernels with short passes faster than it would gain by long ones.
  const isFixed = tuning?.own !== undefined || commands.context.isSoftware;
  const short = decodeKernel(commands, options, tuning?.own ?? 1);
  if (isFixed || !shapeOf(commands.context, options, 4)) return { alone: [short], together: [short] };
  const middle = decodeKernel(commands, options, 2);
  // Rows of f32 are so long that their values would not fit the registers.
  const isLong = cache.main.v.planes.some(({ width }) => width > 16);
  const whole = isLong ? [] : [decodeKernel(commands, options, 1, WHOLE_PASS)];
  const together = [...(isFloat(options.layer.kv.format.k) ? [] : [middle]), ...whole, short];
  // Where workgroups read the same keys there are many of them, and more of those with shorter passes run at the same time; rows of
  // floats take so many registers that long passes gain nothing.
  const long = middle.parts > 1 || isFloat(options.layer.kv.format.k) ? [] : [decodeKernel(commands, options, 4)];
  return { alone: [...long, middle, short] as unknown as KernelList, together: together as unknown as KernelList };
}

/** What a kernel's text depends on of a page, beside the names of its sides. */
const regionsOf = ({ headDim, valueDim, pageTokens, numBytes, k, v, rotaryKey }: PageLayout): unknown[] => [
  headDim,
  valueDim,
  rotaryKey?.planes,
  pageTokens,
  numBytes,
  [k, v].map(({ planes, scales }) => [planes, scales]),
];

function decodeKernel(
  commands: Commands,
  options: DecodeOptions,
  own: DecodeShape["own"],
  unroll?: number,
): DecodeKernel {
  const { context } = commands;
  const { layer, cache, centroidsAt, windowCentroidsAt, tuning } = options;
  const { headDim, valueDim, rotaryKeyDim, numHeads, softcap } = layer;
  const { format } = layer.kv;
  const ofCodes = sidesOf(options);
  const { main, residual } = cache;
  const shape = shapeOf(context, options, own, unroll);
  const { parts, heads: group } = shape ? headPartsOf(options) : headParts(layer);
  const threads = tuning?.threads ?? THREADS;
  const [halfK, halfV] = [shape?.halfK ?? false, shape?.halfV ?? false];
  const [kName, vName] = [nameOf(ofCodes.k), nameOf(ofCodes.v)];
  const tables = sideTables(ofCodes, { k: halfK, v: halfV }, centroidsAt, main);
  const { vAt } = tables;
  const inBits = windowSide(format);
  const windowTables = windowCentroidsAt
    ? sideTables({ k: inBits, v: inBits }, { k: false, v: false }, windowCentroidsAt, main)
    : null;
  // A workgroup reads codes or rows of the window, so their tables share one place.
  const entries = Math.max(tables.entries, windowTables?.entries ?? 0);
  const units = valueDim / 8;
  const half = halfK || halfV;
  const keyGroups = shape ? shape.keyGroups : Math.min(64, powerBelow(threads / units));
  const sumWords = 8 * units * keyGroups * (shape ? threads / shape.subgroup : 1);
  const otherWords = (half ? (headDim / 2) * group : 0) + (shape ? threads : threads * (group + 1));
  const limit = context.limits.maxComputeWorkgroupStorageSize / 4 - otherWords;
  const most = shape && !context.isSoftware ? (tuning?.copies ?? MAX_COPIES) : 1;
  const copies = Math.max(1, Math.min(most, powerBelow(limit / Math.max(1, entries))));
  const use = (isHalf: boolean, tableAt: number): TableUse => ({ half: isHalf, tableAt, copies, copy: "copy" });
  const ofWindow = windowTables ? { k: use(false, 0), v: use(false, windowTables.vAt) } : { k: FLOATS, v: FLOATS };
  const sides = {
    main,
    residual: residual?.layout ?? null,
    k: use(halfK, 0),
    v: use(halfV, vAt),
    ofWindow,
    arrays: ARRAYS,
  };
  const values = {
    HALF: half,
    HAS_RESIDUAL: residual !== null,
    QUERY_DIM: headDim + rotaryKeyDim,
    VALUE_DIM: valueDim,
    NUM_HEADS: numHeads,
    GROUP: group,
    PARTS: parts,
    KV_GROUP: numHeads / layer.numKvHeads,
    THREADS: threads,
    KEY_GROUPS: keyGroups,
    LUT_WORDS: Math.max(entries * copies, sumWords),
    SLOT_MASK,
    ...STEP_VALUES,
    PAGE_TOKENS: main.pageTokens,
    PAGE_BYTES: main.numBytes,
    ...(residual && { RESIDUAL_TOKENS: residual.layout.pageTokens, RESIDUAL_BYTES: residual.layout.numBytes }),
    ...(shape && { SUBGROUP: shape.subgroup, OWN: shape.own }),
    ...tierValues(options),
  };
  const types = lines([`alias WORDS = ${wordsType(group)};`, ...(softcap > 0 ? [softcapText(softcap)] : [])]);
  const common = { TYPES: types, TABLES: tablesText(tables, copies, windowTables) };
  const portable = { headDim, valueDim, rotaryKeyDim, group, keyGroups, softcap };
  const key = `attend-decode ${JSON.stringify([kName, vName, numHeads, layer.numKvHeads, softcap, shape, regionsOf(main), residual && regionsOf(residual.layout), copies, threads, centroidsAt, windowCentroidsAt, tierValues(options)])}`;
  const kernel = commands.kernel(key, () => ({
    label: `attention of single tokens, K ${kName}, V ${vName}${half ? ", f16" : ""}${shape ? ", subgroups" : ""}`,
    shader: shape
      ? shader("attend-decode", params, values, {
          ...common,
          QUERY: half ? queryText(shape) : "",
          ACCUMULATORS: accumulatorsText(shape),
          PASS: passText(shape, sides),
          OUTPUT: outputText(shape),
        })
      : shader("attend-portable", params, values, {
          ...common,
          ACCUMULATORS: portableAccumulators(portable),
          SCORES: portableScores(portable, sides),
          SOFTMAX: portableSoftmax(portable),
          WEIGHTED_SUM: portableWeightedSum(portable, sides),
          OUTPUT: portableOutput(portable),
        }),
    buffers: ["read", "read", "read", "read", "read", "read", "write", "write"],
  }));
  const passKeys = shape ? threads * shape.own : threads;
  const copies16 = residual ? format.window + format.sinks : 0;
  const copySplits = copyParts(copies16, passKeys);
  return { kernel, parts, leastPasses: unroll === WHOLE_PASS ? 2 : 1, passKeys, copySplits };
}

type Planned = Pick<DecodeOptions, "layer" | "tuning">;

/** A kernel, and the number of parts that the codes are cut into, without those of the copies. */
export interface DecodePlan {
  readonly kernel: DecodeKernel;
  readonly splits: number;
}

/** keys: of the longest row · rows: number of rows decoded together · mostParts: of the codes, where passes share what can be merged */
export function planDecode(
  context: GpuContext,
  options: Planned,
  kernels: DecodeKernels,
  keys: number,
  rows: number,
  mostParts = Number.POSITIVE_INFINITY,
): DecodePlan {
  const { slidingWindow, numKvHeads } = options.layer;
  const read = slidingWindow > 0 ? Math.min(keys, slidingWindow) : keys;
  const most = Math.min(mostParts, mostSplits(context.isSoftware, options, rows));
  const list = rows > 1 ? kernels.together : kernels.alone;
  for (const kernel of list) {
    const passes = Math.max(1, Math.ceil(read / kernel.passKeys));
    // Parts of equal length, because the longest one decides.
    const splits = Math.ceil(passes / Math.max(kernel.leastPasses, Math.ceil(passes / most)));
    const groups = rows * numKvHeads * (splits + kernel.copySplits);
    // Long passes cost less for each key; short ones are for contexts that would leave cores idle.
    const isBusy = kernel.leastPasses > 1 ? passes > most || groups >= ENOUGH_GROUPS : passes >= most * BUSY_SHARE;
    if (isBusy || kernel === list.at(-1)) return { kernel, splits };
  }
  throw new Error("no kernel of decode attention");
}

/** Queues the attention of the step's rows that are listed from word `listAt` on. */
export function attendDecode(
  commands: Commands,
  { layer }: DecodeOptions,
  { kernel, splits }: DecodePlan,
  at: { readonly listAt: number; readonly rowsAt: number; readonly spansAt: number; readonly rows: number },
  { step, pages, residualPages, centroids, q, parts, stats }: AttendBuffers,
  ofPass: PassParts = { firstPart: 0, allParts: splits + kernel.copySplits },
): void {
  const { window, sinks } = layer.kv.format;
  commands.dispatch(
    kernel.kernel,
    {
      listAt: at.listAt,
      rowsAt: at.rowsAt,
      spansAt: at.spansAt,
      splits,
      copySplits: kernel.copySplits,
      window,
      sinks,
      sliding: layer.isChunked ? 0 : layer.slidingWindow,
      chunk: layer.isChunked ? layer.slidingWindow : 0,
      firstPart: ofPass.firstPart,
      allParts: ofPass.allParts,
    },
    [step, pages, pages, residualPages, q, centroids, parts, stats],
    layer.numKvHeads * kernel.parts,
    splits + kernel.copySplits,
    at.rows,
  );
}
