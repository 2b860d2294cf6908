/** @file Attention of rows to chosen tokens, of decoded tokens and of spans alike. attend-merge.wgsl joins the parts of a list. */
import { nameOf } from "../../../quant/codecs/registry.ts";
import type { LayerCopies } from "../../../quant/prepared-layer.ts";
import { Struct } from "../../parameters/struct.ts";
import type { AttendBuffers, AttendOptions } from "../attention/attend-options.ts";
import { ARRAYS, lines, wordsType } from "../attention/attend-text.ts";
import { mostSplits } from "../attention/decode-splits.ts";
import { headParts } from "../attention/head-parts.ts";
import { portableAccumulators, portableOutput, portableScores, portableSoftmax } from "../attention/portable-text.ts";
import { softcapText } from "../attention/softcap-text.ts";
import type { GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { shader } from "../queue/shader-text.ts";
import { chosenSum } from "./chosen-text.ts";
import { pageValues, readSides } from "./read-sides.ts";

/** Invocations of a workgroup, each of which scores a token of a list at a time. */
const THREADS = 128;
const MOST_KEY_GROUPS = 64;

const params = new Struct({
  rowsAt: ["u32", "Words of the rows and of the layer's span records in `step`."],
  spansAt: "u32",
  listAt: ["u32", "Word of the list of rows in `step`, if it is used; else rows follow the first."],
  useList: "u32",
  firstRow: "u32",
  splits: ["u32", "Parts of a list, and the tokens of each."],
  share: "u32",
  count: ["u32", "Tokens of a list, and lists of a row: one for all heads, or one for each KV head."],
  lists: "u32",
  window: ["u32", "Tokens of the residual window and of the sinks."],
  sinks: "u32",
});

/** Positions on the device, as `ChosenTokens` has them. */
export interface ChosenOnDevice {
  readonly positions: GpuBuffer;
  readonly count: number;
  readonly lists: number;
}

/** Words of rows and span records in `step`, and which rows are attended. */
export interface ChosenRows {
  readonly rowsAt: number;
  readonly spansAt: number;
  readonly listAt: number;
  readonly useList: number;
  readonly firstRow: number;
  readonly rows: number;
}

interface Prepared extends LayerCopies {
  readonly kernel: Kernel<typeof params>;
}

export class ChosenAttention {
  readonly #commands: Commands;

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  /** Number of parts that the list of each of `rows` rows is cut into. */
  splitsOf(options: AttendOptions, { count }: ChosenOnDevice, rows: number): number {
    const { isSoftware } = this.#commands.context;
    const { parts } = headParts(options.layer);
    const most = Math.max(1, Math.floor(mostSplits(isSoftware, options, rows) / parts));
    return Math.min(most, Math.ceil(count / THREADS));
  }

  /** Queues the attention of these rows, whose parts are to be merged. */
  run(options: AttendOptions, chosen: ChosenOnDevice, at: ChosenRows, splits: number, buffers: AttendBuffers): void {
    const { layer } = options;
    const { window, sinks } = layer.kv.format;
    const { positions, count, lists } = chosen;
    const { step, pages, residualPages, centroids, q, parts, stats } = buffers;
    const { rows, ...where } = at;
    const { kernel } = layer.kv.copies(
      this,
      () => ({ kernel: this.#kernel(options), dispose() {} }) satisfies Prepared,
    );
    const share = Math.ceil(Math.ceil(count / THREADS) / splits) * THREADS;
    this.#commands.dispatch(
      kernel,
      { ...where, splits, share, count, lists, window, sinks },
      [step, positions, pages, residualPages, q, centroids, parts, stats],
      layer.numKvHeads * headParts(layer).parts,
      splits,
      rows,
    );
  }

  #kernel(options: AttendOptions): Kernel<typeof params> {
    const { headDim, valueDim, rotaryKeyDim, numHeads, numKvHeads, softcap, kv } = options.layer;
    const { parts, heads: group } = headParts(options.layer);
    // Pages are bound once, so that the list has a place among the eight buffers that every device binds.
    const words = ARRAYS.codes.quads;
    const { sides, tables, entries } = readSides(options, { ...ARRAYS, codes: { words, quads: words } });
    const units = valueDim / 8;
    const keyGroups = Math.min(MOST_KEY_GROUPS, 2 ** Math.floor(Math.log2(THREADS / units)));
    const shape = { headDim, valueDim, rotaryKeyDim, group, keyGroups, softcap };
    const key = { position: "key", last: "position", isRead: "base + l < high && entry >= 0.0" };
    const values = {
      ...pageValues(options),
      VALUE_DIM: valueDim,
      NUM_HEADS: numHeads,
      GROUP: group,
      PARTS: parts,
      KV_GROUP: numHeads / numKvHeads,
      THREADS,
      KEY_GROUPS: keyGroups,
      LUT_WORDS: Math.max(entries, 8 * units * keyGroups),
    };
    const made = shader("attend-chosen", params, values, {
      TYPES: lines([`alias WORDS = ${wordsType(group)};`, ...(softcap > 0 ? [softcapText(softcap)] : [])]),
      ACCUMULATORS: portableAccumulators(shape),
      TABLES: tables,
      SCORES: portableScores(shape, sides, key),
      SOFTMAX: portableSoftmax(shape),
      WEIGHTED_SUM: chosenSum(shape, sides),
      OUTPUT: portableOutput(shape),
    });
    return this.#commands.kernel(`attend-chosen ${made.code}`, () => ({
      label: `attention to chosen tokens, K ${nameOf(kv.format.k)}, V ${nameOf(kv.format.v)}`,
      shader: made,
      buffers: ["read", "read", "read", "read", "read", "read", "write", "write"],
    }));
  }
}
