/** @file Tables of an evaluation's optional parts: needle grid, greedy continuations, noise of the layers. */

import type { LayerDiagnosis } from "../../eval/diagnose.ts";
import type { EvalRow } from "../../eval/evaluate.ts";
import type { GreedySummary } from "../../eval/greedy.ts";
import type { NeedleCell } from "../../eval/needle-grid.ts";
import { TASK_NAMES } from "../../eval/tasks.ts";
import { significant } from "../../format-number.ts";
import { type Column, formatPercent, formatRate, markdownTable } from "../format.ts";

const right = (title: string): Column => ({ title, align: "right" });
const left = (title: string): Column => ({ title, align: "left" });

/** All tables that the rows have data for, each with a line that explains it. */
export function detailTables(rows: readonly EvalRow[], width = Number.POSITIVE_INFINITY): string {
  const parts: string[] = [];
  const greedy = rows.filter((row) => row.greedy !== null);
  if (greedy.length > 0)
    parts.push(
      greedyTable(
        greedy.map((row) => ({ kv: row.kv, greedy: row.greedy! })),
        width,
      ),
    );
  // An evaluation that was ended early has parts without a prompt.
  const tasks = rows.filter((row) => row.tasks !== null && row.tasks.length > 0);
  if (tasks.length > 0) parts.push(taskTable(tasks, width));
  for (const { kv, base, needleGrid, layers } of rows) {
    if (needleGrid && needleGrid.length > 0) parts.push(gridTable(kv, base, needleGrid, width));
    if (layers) parts.push(layerTable(kv, layers, width));
  }
  return parts.map((part) => `\n${part}`).join("");
}

function greedyTable(rows: readonly { readonly kv: string; readonly greedy: GreedySummary }[], width: number): string {
  const { prompts, promptTokens, tokens } = rows[0]!.greedy;
  const columns = [left("kv"), right("same to the end"), right("first other token, median"), right("tokens before it")];
  return `greedy continuations: ${prompts} prompts of ${promptTokens} tokens, up to ${tokens} tokens each\n${markdownTable(
    columns,
    rows.map(({ kv, greedy: g }) => [
      kv,
      formatRate(g.exactMatch, g.exactMatchLow, g.exactMatchHigh),
      g.firstDivergenceMedian === null ? "never" : String(g.firstDivergenceMedian),
      formatPercent(g.tokensBeforeDivergence),
    ]),
    width,
  )}`;
}

function gridTable(kv: string, base: string, cells: readonly NeedleCell[], width: number): string {
  const depths = [...new Set(cells.map(({ depth }) => depth))];
  const lengths = [...new Set(cells.map(({ length }) => length))];
  const cell = ({ recall, recallLow, recallHigh, recallBase }: NeedleCell): string =>
    `${formatRate(recall, recallLow, recallHigh, 0)} (${formatPercent(recallBase, 0)})`;
  return `needle grid, ${kv}: exact answers by length and depth, ${promptsOf(cells)} (in parentheses: ${base})\n${markdownTable(
    [right("tokens"), ...depths.map((depth) => right(`at ${formatPercent(depth, 0)}`))],
    lengths.map((length) => {
      const own = cells.filter((c) => c.length === length);
      return [String(own[0]!.tokens), ...depths.map((depth) => cell(own.find((c) => c.depth === depth)!))];
    }),
    width,
  )}`;
}

/** How many prompts each length has: an evaluation that ran out of time has fewer of the last ones. */
function promptsOf(cells: readonly NeedleCell[]): string {
  const counts = [...new Map(cells.map(({ length, prompts }) => [length, prompts])).values()];
  if (new Set(counts).size > 1) return `${counts.join(", ")} prompts of the lengths`;
  return `${counts[0]} ${counts[0] === 1 ? "prompt" : "prompts"} a length`;
}

/** Exact answers by task and length, one row a format; the base's in the first. */
function taskTable(rows: readonly EvalRow[], width: number): string {
  const cells = rows[0]!.tasks!;
  const lengths = [...new Set(cells.map(({ length }) => length))];
  const share = (value: number | undefined): string => (value === undefined ? "–" : formatPercent(value, 0));
  const body = lengths.flatMap((length) => {
    const own = cells.filter((cell) => cell.length === length);
    return [
      [String(length), rows[0]!.base, ...TASK_NAMES.map((task) => share(own.find((c) => c.task === task)?.rightBase))],
      ...rows.map(({ kv, tasks }) => [
        String(length),
        kv,
        ...TASK_NAMES.map((task) => {
          const cell = tasks!.find((c) => c.task === task && c.length === length);
          return cell ? formatRate(cell.right, cell.rightLow, cell.rightHigh, 0) : "–";
        }),
      ]),
    ];
  });
  return `tasks: exact answers, up to ${Math.max(...cells.map(({ prompts }) => prompts))} prompts each; what the exact cache cannot do says nothing about a format\n${markdownTable(
    [right("tokens"), left("kv"), ...TASK_NAMES.map(right)],
    body,
    width,
  )}`;
}

const LAYER_COLUMNS = ["layer", "rms(q)", "rms(k)", "logit noise", "law", "noise/law", "K error", "V error"];
const COSINE_COLUMNS = ["cos K", "cos V", "cos scores"];

function layerTable(kv: string, layers: readonly LayerDiagnosis[], width: number): string {
  const orDash = (value: number | null): string => (value === null ? "–" : significant(value));
  const cosine = (value: number | null): string => (value === null ? "–" : value.toFixed(5));
  return `layers, ${kv}: law = rms(q) · rms(k) · √D; errors are squared, over squared norms\n${markdownTable(
    [...LAYER_COLUMNS, ...COSINE_COLUMNS].map(right),
    layers.map((l) => [
      String(l.layer),
      significant(l.rmsQ),
      significant(l.rmsK),
      orDash(l.logitNoise),
      orDash(l.logitNoiseLaw),
      orDash(l.logitNoise !== null && l.logitNoiseLaw !== null ? l.logitNoise / l.logitNoiseLaw : null),
      significant(l.keyError),
      significant(l.valueError),
      cosine(l.keyCosine),
      cosine(l.valueCosine),
      cosine(l.scoreCosine),
    ]),
    width,
  )}`;
}
