/** @file The report of the evidence on a model: tables in Markdown, one for each measurement. */
import type { EvalRow } from "../../src/eval/evaluate.ts";
import { TASK_NAMES } from "../../src/eval/tasks.ts";
import { significant } from "../../src/format-number.ts";
import type { Measurement } from "./steps.ts";

export interface EvidenceRow {
  readonly id: string;
  readonly measurement: Measurement;
  readonly length: number;
  readonly commit: string | null;
  readonly row: EvalRow;
}

export interface ReportHead {
  readonly model: string;
  readonly text: string;
  readonly command: string;
  readonly backend: string;
  /** Steps that are not done yet. */
  readonly missing: number;
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
const range = (value: number, low: number, high: number, write = (x: number): string => (100 * x).toFixed(0)): string =>
  `${write(value)} [${write(low)}, ${write(high)}]`;

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |\n`;
  return `${line(titles)}${line(titles.map((_, i) => (i === 0 ? "---" : "---:")))}${rows.map(line).join("")}`;
}

export function reportOf(rows: readonly EvidenceRow[], head: ReportHead): string {
  const of = (measurement: Measurement, length: number): EvalRow[] =>
    rows.filter((r) => r.measurement === measurement && r.length === length).map(({ row }) => row);
  const lengths = [...new Set(rows.map(({ length }) => length))].filter((length) => length > 0).sort((a, b) => a - b);
  const commits = [...new Set(rows.map(({ commit }) => commit))].filter((commit) => commit !== null);
  const parts = [
    `# What cache formats cost ${head.model}`,
    `Against its own f16 cache, on ${head.text}; ${head.backend}${commits.length > 0 ? `, commit ${commits.join(" and ")}` : ""}. All bits are counted: codes, scales, sinks and window, as ` +
      "allocated for one chunk. Divergences are in nats; ± is a standard error, brackets are 95 % intervals. [evaluation.md](../evaluation.md) says how to read it.",
    `\`\`\`sh\n${head.command}\n\`\`\``,
  ];
  if (head.missing > 0)
    parts.push(`**Not complete**: ${head.missing} measurements are missing; the same line goes on with them.`);
  for (const length of lengths) {
    const own = of("divergence", length);
    if (own.length === 0) continue;
    parts.push(`## Divergence, chunks of ${length} tokens`, divergenceTable(own));
  }
  for (const length of lengths) {
    const own = of("tasks", length);
    if (own.length === 0) continue;
    parts.push(
      `## Tasks that need memory, ${length} tokens`,
      "Exact answers in per cent. What the exact cache cannot do (first line) says nothing about a format.",
      taskTable(own),
    );
  }
  const needles = lengths.filter((length) => of("needles", length).length > 0);
  if (needles.length > 0)
    parts.push(
      "## Needles",
      needleTables(needles, (length) => of("needles", length)),
    );
  const greedy = of("greedy", 0);
  if (greedy.length > 0) parts.push("## Greedy continuations", greedyTable(greedy));
  return `${parts.map((part) => part.trimEnd()).join("\n\n")}\n`;
}

function divergenceTable(rows: readonly EvalRow[]): string {
  return table(
    ["kv", "bits", "KLD", "p99", "p99.9", "max", "top-1, %", "PPL ratio", "codes read", "tokens"],
    rows.map((r) => [
      `\`${r.kv}\``,
      r.bitsPerValue.toFixed(2),
      `${significant(r.kldMean)} ± ${significant(r.kldMeanSe)}`,
      ...[r.kldP99, r.kldP999, r.kldMax].map(significant),
      range(r.top1, r.top1Low, r.top1High, (x) => (100 * x).toFixed(1)),
      `${r.pplRatio.toFixed(4)} ± ${r.pplRatioSe.toFixed(4)}`,
      r.codesRead === null ? "–" : percent(r.codesRead),
      String(r.tokens),
    ]),
  );
}

function taskTable(rows: readonly EvalRow[]): string {
  const [first] = rows as [EvalRow, ...EvalRow[]];
  const base = TASK_NAMES.map((task) => {
    const cell = first.tasks!.find((c) => c.task === task);
    return cell ? (100 * cell.rightBase).toFixed(0) : "–";
  });
  return table(
    ["kv", ...TASK_NAMES],
    [
      [`\`${first.base}\``, ...base],
      ...rows.map((r) => [
        `\`${r.kv}\``,
        ...TASK_NAMES.map((task) => {
          const cell = r.tasks!.find((c) => c.task === task);
          return cell ? range(cell.right, cell.rightLow, cell.rightHigh) : "–";
        }),
      ]),
    ],
  );
}

function needleTables(lengths: readonly number[], of: (length: number) => readonly EvalRow[]): string {
  return lengths
    .map((length) => {
      const rows = of(length);
      const depths = rows[0]!.needleGrid!.map(({ depth }) => depth);
      const base = rows[0]!.needleGrid!.map(({ recallBase }) => (100 * recallBase).toFixed(0));
      return `${length} tokens, exact answers in per cent by depth:\n\n${table(
        ["kv", ...depths.map(percent)],
        [
          [`\`${rows[0]!.base}\``, ...base],
          ...rows.map((r) => [`\`${r.kv}\``, ...r.needleGrid!.map((c) => range(c.recall, c.recallLow, c.recallHigh))]),
        ],
      )}`;
    })
    .join("\n");
}

function greedyTable(rows: readonly EvalRow[]): string {
  return table(
    ["kv", "same to the end, %", "first other token, median", "tokens before it", "continuations"],
    rows.flatMap(({ kv, greedy: g }) =>
      g
        ? [
            [
              `\`${kv}\``,
              range(g.exactMatch, g.exactMatchLow, g.exactMatchHigh),
              g.firstDivergenceMedian === null ? "never" : String(g.firstDivergenceMedian),
              percent(g.tokensBeforeDivergence),
              String(g.prompts),
            ],
          ]
        : [],
    ),
  );
}
