/** @file Rows of sweeps and of `eval --out` as the report reads them: what both have, and what one of them has besides. */
import { z } from "zod";
import { TurboQuantError } from "../../errors.ts";
import { describeFormat, type FormatKind } from "./describe-format.ts";

/** JSON has no NaN: a figure that could not be computed is null. */
const maybe = z.number().nullish().default(null);

const cell = z.object({
  length: z.number(),
  depth: z.number(),
  prompts: z.number(),
  recall: z.number(),
  recallLow: z.number(),
  recallHigh: z.number(),
  recallBase: z.number(),
});

const row = z.object({
  model: z.string(),
  kv: z.string(),
  base: z.string().default("f16"),
  textSource: z.string().nullish().default(null),
  ctx: z.number(),
  chunks: z.number(),
  tokens: z.number(),
  bitsPerValue: z.number(),
  ppl: z.number(),
  pplBase: z.number(),
  pplRatio: z.number(),
  pplRatioSe: maybe,
  kldMean: z.number(),
  kldMeanSe: maybe,
  kldMedian: maybe,
  kldP99: maybe,
  kldP999: maybe,
  top1: z.number(),
  top1Low: maybe,
  top1High: maybe,
  needle: maybe,
  needleLow: maybe,
  needleHigh: maybe,
  needleBase: maybe,
  needlePrompts: z.number().default(0),
  needleGrid: z.array(cell).nullish().default(null),
  /** Of `eval --ladder`. */
  lever: z.string().optional(),
  /** Of a sweep. */
  parameters: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  numParameters: z.number().optional(),
  part: z.string().optional(),
});

export interface ReportRow extends z.infer<typeof row> {
  /** The last part of the model's path or hub id. */
  readonly modelLabel: string;
  readonly format: FormatKind;
}

/** value: one parsed line · where: for messages */
export function reportRow(value: unknown, where: string): ReportRow {
  const result = row.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new TurboQuantError(
      "invalid_file",
      `${where}: expected a row of a sweep or of eval --out, got another (${issue!.path.join(".") || "top"}: ${issue!.message}); name other files`,
      { where },
    );
  }
  const { model, kv } = result.data;
  return {
    ...result.data,
    modelLabel: model.split(/[\\/]/).filter(Boolean).at(-1) ?? model,
    format: describeFormat(kv),
  };
}

/** Rows that can be compared with each other: one model, one text, one context. */
export interface RowGroup {
  readonly modelLabel: string;
  readonly ctx: number;
  readonly tokens: number;
  readonly rows: readonly ReportRow[];
}

/** Groups in the order of their first rows. Of rows of one format the last counts. */
export function groupRows(rows: readonly ReportRow[]): RowGroup[] {
  const groups = new Map<string, Map<string, ReportRow>>();
  for (const row of rows) {
    const key = JSON.stringify([row.model, row.ctx, row.tokens, row.textSource, row.base]);
    const group = groups.get(key) ?? new Map<string, ReportRow>();
    groups.set(key, group.set(row.kv, row));
  }
  return [...groups.values()].map((own) => {
    const list = [...own.values()];
    const { modelLabel, ctx, tokens } = list[0]!;
    return { modelLabel, ctx, tokens, rows: list };
  });
}

/** Of each model the group with the most formats, then the most tokens: models by size, smallest first. */
export function mainGroups(rows: readonly ReportRow[]): RowGroup[] {
  const best = new Map<string, RowGroup>();
  for (const group of groupRows(rows)) {
    const { model } = group.rows[0]!;
    const other = best.get(model);
    const isBetter =
      !other ||
      group.rows.length > other.rows.length ||
      (group.rows.length === other.rows.length && group.tokens > other.tokens);
    if (isBetter) best.set(model, group);
  }
  return [...best.values()].sort((a, b) => sizeOf(a) - sizeOf(b) || a.modelLabel.localeCompare(b.modelLabel));
}

/** Weights of the model where a row says so; else the number in its name (`qwen3-0.6b`), which sorts as well. */
function sizeOf({ rows, modelLabel }: RowGroup): number {
  const known = rows.find((row) => row.numParameters !== undefined)?.numParameters;
  if (known !== undefined) return known;
  const match = /(\d+(?:\.\d+)?)([mb])\b/i.exec(modelLabel);
  return match ? Number(match[1]) * (match[2]!.toLowerCase() === "b" ? 1e9 : 1e6) : Number.POSITIVE_INFINITY;
}
