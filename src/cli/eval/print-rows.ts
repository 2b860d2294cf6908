/** @file The main table of an evaluation. */
import { hasTiers } from "../../eval/codes-read.ts";
import type { EvalRow } from "../../eval/evaluate.ts";
import { formatBytes, formatCount, significant } from "../../format-number.ts";
import { MIN_CODES_READ } from "../../plan/gates.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { type Column, formatPercent, formatRate, markdownTable } from "../format.ts";

/** Rows of `--ladder` also say what was changed. */
export type PrintedRow = EvalRow & { readonly lever?: string };

const RIGHT = ["bits/value", "KV bytes", "PPL", "PPL ratio", "KLD mean", "median", "p99", "p99.9", "max"];

/** One line for the base and one for each format. ± is a standard error; brackets are 95 % intervals. */
export function evalTable(rows: readonly PrintedRow[], width = Number.POSITIVE_INFINITY): string {
  const [first] = rows as [PrintedRow, ...PrintedRow[]];
  const hasLever = first.lever !== undefined;
  const hasNeedle = first.needle !== null;
  const left = [...(hasLever ? ["lever"] : []), "kv"];
  const columns: Column[] = [
    ...left.map((title) => ({ title, align: "left" as const })),
    ...[...RIGHT, "top-1", ...(hasNeedle ? ["needle"] : [])].map((title) => ({ title, align: "right" as const })),
  ];
  const base = [
    ...(hasLever ? ["exact"] : []),
    first.base,
    "",
    formatBytes(first.kvBytesBase),
    first.pplBase.toFixed(3),
    "1",
    ...Array.from({ length: 5 }, () => "0"),
    "100 %",
    ...(hasNeedle ? [formatRate(first.needleBase!, first.needleBaseLow!, first.needleBaseHigh!, 0)] : []),
  ];
  const body = rows.map((row) => [
    ...(hasLever ? [row.lever ?? ""] : []),
    row.kv,
    row.bitsPerValue.toFixed(2),
    formatBytes(row.kvBytes),
    row.ppl.toFixed(3),
    `${row.pplRatio.toFixed(4)} ± ${row.pplRatioSe.toFixed(4)}`,
    `${significant(row.kldMean)}${Number.isFinite(row.kldMeanSe) ? ` ± ${significant(row.kldMeanSe)}` : ""}`,
    ...[row.kldMedian, row.kldP99, row.kldP999, row.kldMax].map(significant),
    formatRate(row.top1, row.top1Low, row.top1High),
    ...(hasNeedle ? [formatRate(row.needle!, row.needleLow!, row.needleHigh!, 0)] : []),
  ]);
  return markdownTable(columns, [base, ...body], width);
}

const amount = ({ chunks, ctx, tokens, tokensAsked }: EvalRow): string =>
  tokens === chunks * ctx
    ? `${chunks} × ${ctx} tokens`
    : `${formatCount(tokens)} of ${formatCount(tokensAsked)} tokens, in chunks of ${ctx},`;

/** Lines below the table: what was done, and what attention was seen to read. */
export function evalFooter(rows: readonly EvalRow[]): string {
  const [first] = rows as [EvalRow, ...EvalRow[]];
  const named = (path: EvalRow["readPath"]): string[] =>
    rows.filter((row) => row.readPath === path).map((row) => row.kv);
  const notes = [`${first.model}, ${first.textSource ?? "text"}: ${amount(first)} in ${significant(first.seconds)} s`];
  if (named("packed").length > 0) {
    notes.push("read path: packed; changing stored codes or scales of any layer changed the next logits");
  }
  if (named("window").length > 0) {
    notes.push(
      `read path: ${named("window").join(" and ")}: chunks of ${first.ctx} tokens lie within sinks and window, so no code was read; use a longer --ctx or window=0`,
    );
  }
  const few = rows.filter(({ readPath, codesRead }) => readPath === "packed" && codesRead! < MIN_CODES_READ);
  const lines = new Map<string, string[]>();
  for (const { kv, codesRead } of few) {
    const share = `only ${formatPercent(codesRead!, 0)} of what attention read were codes`;
    const line = hasTiers(parseKvSpec(kv))
      ? `${share} of the coarsest tier, the rest finer tiers and sinks, so the figures say little about longer texts; use a longer --ctx`
      : `${share}, the rest sinks and window, so the figures say little about longer texts; use a longer --ctx or window=0`;
    lines.set(line, [...(lines.get(line) ?? []), kv]);
  }
  for (const [line, own] of lines) notes.push(`codes: ${own.join(" and ")}: ${line}`);
  return `${notes.join("\n")}\n`;
}
