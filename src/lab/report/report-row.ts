/** @file The rows of sweeps and of `eval --out` as a report reads them. */
import { z } from "zod";
import { TurboQuantError } from "../../errors.ts";
import { nameOfPlace } from "../../formats/model-name.ts";
import { describeFormat, type FormatKind } from "./describe-format.ts";

/** JSON has no NaN; null stands for a figure that could not be computed. */
const nullableNumber = z.number().nullish().default(null);

const cell = z.object({
  length: z.number(),
  depth: z.number(),
  prompts: z.number(),
  recall: z.number(),
  recallLow: z.number(),
  recallHigh: z.number(),
  recallBase: z.number(),
});

/** What is read of a `RopeConfig`. */
const rope = z.looseObject({ type: z.string().default("stretched"), factor: z.number().optional() });

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
  pplRatioSe: nullableNumber,
  kldMean: z.number(),
  kldMeanSe: nullableNumber,
  kldMedian: nullableNumber,
  kldP99: nullableNumber,
  kldP999: nullableNumber,
  top1: z.number(),
  top1Low: nullableNumber,
  top1High: nullableNumber,
  needle: nullableNumber,
  needleLow: nullableNumber,
  needleHigh: nullableNumber,
  needleBase: nullableNumber,
  needlePrompts: z.number().default(0),
  /** Missing in rows that are older than the figure, and null where a format has no codes. */
  codesRead: z.number().nullish(),
  needleGrid: z.array(cell).nullish().default(null),
  /** Only in rows of a model whose rope was another one than its config's. */
  rope: rope.optional(),
  /** Only in rows of `eval --ladder`. */
  lever: z.string().optional(),
  /** Only in rows of a sweep. */
  parameters: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  numParameters: z.number().optional(),
  part: z.string().optional(),
});

export interface ReportRow extends z.infer<typeof row> {
  /** The model's name without the organisation of a hub id, and without the path of a file or folder, and the rope if that is not its own. */
  readonly modelLabel: string;
  readonly format: FormatKind;
}

/** value: one parsed line · where: file and line, for messages */
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
  const { model, kv, rope: own } = result.data;
  const stretch = own ? `, rope ${own.type}${own.factor === undefined ? "" : ` × ${own.factor}`}` : "";
  return {
    ...result.data,
    modelLabel: nameOfPlace(model) + stretch,
    format: describeFormat(kv),
  };
}

/** Equal for rows of the same weights with the same rope: with another one it is another model. */
export const subjectOf = ({ model, rope }: ReportRow): string => JSON.stringify([model, rope ?? null]);

/** Rows that can be compared: of the same model, rope, text and context. */
export interface RowGroup {
  readonly modelLabel: string;
  readonly ctx: number;
  readonly tokens: number;
  readonly rows: readonly ReportRow[];
}

/** Groups in the order of their first rows. Of several rows with one format the last counts. */
export function groupRows(rows: readonly ReportRow[]): RowGroup[] {
  const groups = new Map<string, Map<string, ReportRow>>();
  for (const row of rows) {
    const key = JSON.stringify([subjectOf(row), row.ctx, row.tokens, row.textSource, row.base]);
    const group = groups.get(key) ?? new Map<string, ReportRow>();
    groups.set(key, group.set(row.kv, row));
  }
  return [...groups.values()].map((own) => {
    const list = [...own.values()];
    const { modelLabel, ctx, tokens } = list[0]!;
    return { modelLabel, ctx, tokens, rows: list };
  });
}

/** For each model, the group with the most formats, then with the most tokens. The smallest model comes first. */
export function mainGroups(rows: readonly ReportRow[]): RowGroup[] {
  const best = new Map<string, RowGroup>();
  for (const group of groupRows(rows)) {
    const subject = subjectOf(group.rows[0]!);
    const other = best.get(subject);
    const isBetter =
      !other ||
      group.rows.length > other.rows.length ||
      (group.rows.length === other.rows.length && group.tokens > other.tokens);
    if (isBetter) best.set(subject, group);
  }
  return [...best.values()].sort((a, b) => sizeOf(a) - sizeOf(b) || a.modelLabel.localeCompare(b.modelLabel));
}

/** Number of parameters if a row states it, otherwise the number in the model's name (`qwen3-0.6b`), which sorts the same way. */
function sizeOf({ rows, modelLabel }: RowGroup): number {
  const known = rows.find((row) => row.numParameters !== undefined)?.numParameters;
  if (known !== undefined) return known;
  const match = /(\d+(?:\.\d+)?)([mb])\b/i.exec(modelLabel);
  return match ? Number(match[1]) * (match[2]!.toLowerCase() === "b" ? 1e9 : 1e6) : Number.POSITIVE_INFINITY;
}
