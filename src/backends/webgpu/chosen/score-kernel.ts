/** @file The kernel that scores tokens by the heads of an indexer. */
import { nameOf } from "../../../quant/codecs/registry.ts";
import { Struct } from "../../parameters/struct.ts";
import type { AttendOptions } from "../attention/attend-options.ts";
import { ARRAYS, lines, range } from "../attention/attend-text.ts";
import { headParts } from "../attention/head-parts.ts";
import { portableScores } from "../attention/portable-text.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { shader } from "../queue/shader-text.ts";
import { pageValues, readSides } from "./read-sides.ts";

/** Invocations of a workgroup, each of which scores a token. */
export const SCORE_THREADS = 128;

const params = new Struct({
  rowsAt: ["u32", "Words of the rows and of the layer's span records in `step`."],
  spansAt: "u32",
  firstRow: ["u32", "The first of the rows whose tokens are scored."],
  stride: ["u32", "Words from the numbers of a list to those of the next."],
  window: ["u32", "Tokens of the residual window and of the sinks."],
  sinks: "u32",
});

export type ScoreKernel = Kernel<typeof params>;

/** isWeighted: whether the heads of a row are added up, with a factor each; otherwise each has a list of its own */
export function scoreKernel(commands: Commands, options: AttendOptions, isWeighted: boolean): ScoreKernel {
  const { headDim, valueDim, rotaryKeyDim, numHeads, kv } = options.layer;
  const { parts, heads: group } = headParts({ numHeads, numKvHeads: 1 });
  const { sides, tables, entries } = readSides(options, ARRAYS);
  const shape = { headDim, valueDim, rotaryKeyDim, group, keyGroups: 1, softcap: 0 };
  const key = { position: "key", last: "position", isRead: "true" };
  const score = (g: number): string =>
    isWeighted
      ? `total += select(0.0, factors[first_head + ${g}u] * max(0.0, score${g}), first + ${g}u >= part * GROUP);`
      : `scores[at + (first + ${g}u) * p.stride] = ordered(score${g});`;
  const values = {
    ...pageValues(options),
    WEIGHTED: isWeighted,
    NUM_HEADS: numHeads,
    GROUP: group,
    PARTS: parts,
    LISTS: isWeighted ? 1 : numHeads,
    THREADS: SCORE_THREADS,
    LUT_WORDS: Math.max(1, entries),
  };
  const made = shader("score-tokens", params, values, {
    TABLES: tables,
    SCORES: portableScores(shape, sides, key),
    SUMS: lines(range(group).map(score)),
  });
  return commands.kernel(`score-tokens ${made.code}`, () => ({
    label: `scores of tokens, ${nameOf(kv.format.k)}`,
    shader: made,
    buffers: ["read", "read", "read", "read", "read", "read", "write", ...(isWeighted ? (["read"] as const) : [])],
  }));
}
