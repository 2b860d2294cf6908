/** @file Writes a report as one self-contained HTML file. */
import { formatCount } from "../../format-number.ts";
import { nameOfPlace, nameOfRef } from "../../formats/model-name.ts";
import type { Report } from "./build-report.ts";
import type { Cell, Figure, Table } from "./figure.ts";
import { PAGE_STYLE, THEME_SCRIPT } from "./page-style.ts";
import { figure } from "./plot-context.ts";
import { type Judged, type Recommendation, readsFewCodes } from "./recommendation.ts";
import type { ReportRow } from "./report-row.ts";
import { percent } from "./texts.ts";

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (c) => ESCAPES[c]!);

export interface PageOptions {
  /** Files the rows came from, as named on the command line. */
  readonly sources: readonly string[];
  readonly version: string;
}

/** The text of the whole page. */
export function reportPage(report: Report, { sources, version }: PageOptions): string {
  const { title, rows, recommendations, figures } = report;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="generator" content="turboquant ${escapeHtml(version)}">
<title>${escapeHtml(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
<header><h1>${escapeHtml(title)}</h1><button type="button">light / dark</button>
<p class="soft">${escapeHtml(summary(rows))}</p></header>
${recommendations.length > 0 ? recommendationSection(recommendations) : ""}
<h2>Figures</h2>
${figures.map((one, i) => figureHtml(one, i + 1)).join("\n")}
<h2>All runs</h2>
<details><summary>${formatCount(rows.length)} rows; ${escapeHtml(sources.join(", "))}</summary>
${tableHtml(rowTable(rows), "runs")}
</details>
<h2>How to read this</h2>
<p>Every key and value was quantized before anything read it. The reference is the same model with the same weights and an uncompressed (f16) cache, token by token. <i>KLD</i> is the divergence of the next-token distribution from the reference in nats; <i>same top-1</i> is how often the most likely token is unchanged; the <i>PPL ratio</i> is the perplexity relative to the reference, with its paired standard error. <i>Bits a value</i> are counted from what the cache allocates: codes, scales, sketches, sinks and window.</p>
</main>
<script type="application/json" id="rows">${JSON.stringify(rows.map(plainRow)).replaceAll("<", "\\u003c")}</script>
<script>${THEME_SCRIPT}</script>
</body>
</html>
`;
}

/** Says in one sentence what was measured. */
function summary(rows: readonly ReportRow[]): string {
  const models = [...new Set(rows.map(({ modelLabel }) => modelLabel))];
  const formats = new Set(rows.map(({ kv }) => kv)).size;
  const texts = [...new Set(rows.map(({ textSource }) => textSource ?? "an unnamed text"))];
  const contexts = [...new Set(rows.map(({ ctx }) => ctx))].sort((a, b) => a - b);
  const tokens = rows.reduce((sum, row) => sum + row.tokens, 0);
  return (
    `${formatCount(rows.length)} measurements of ${formatCount(formats)} cache formats on ${models.join(", ")}; ` +
    `contexts of ${contexts.map(formatCount).join(", ")} tokens, ${formatCount(tokens)} tokens in all, of ${texts.join(", ")}.`
  );
}

function recommendationSection(recommendations: readonly Recommendation[]): string {
  return `<h2>Recommendation</h2>\n<div class="cards">\n${recommendations.map(card).join("\n")}\n</div>`;
}

function card({ gate, group, chosen, open }: Recommendation): string {
  const head = `<div class="gate">${escapeHtml(group.modelLabel)} · ${gate}</div>`;
  const undecided =
    open.length === 0
      ? ""
      : `<p><span class="open">${formatCount(open.length)} smaller ${open.length === 1 ? "format is" : "formats are"} not decided</span> ` +
        `by ${formatCount(group.tokens)} tokens, the smallest <code>${escapeHtml(open[0]!.row.kv)}</code>; ${readsFewCodes(open[0]!.row) ? "attention read few of its codes there, and a longer context would tell" : "more chunks would tell"}.</p>`;
  if (!chosen) {
    return `<div class="card">${head}<div class="spec">none of these</div><p>No format of this report passes the gate for sure.</p>${undecided}</div>`;
  }
  const { row } = chosen;
  return (
    `<div class="card">${head}<div class="spec pass">${escapeHtml(row.kv)}</div>` +
    `<p>${row.bitsPerValue.toFixed(2)} bits a value, ${(16 / row.bitsPerValue).toFixed(2)}× smaller than f16 at ${formatCount(group.ctx)} tokens.</p>` +
    `${evidenceTable(chosen)}${undecided}` +
    `<pre><code>turboquant run --model ${escapeHtml(modelArgument(row))} --kv ${escapeHtml(row.kv)}</code></pre></div>`
  );
}

/** What to name the model by: as it was named, unless that was a place on another machine, which stands for it by its name. */
function modelArgument({ model, rope }: ReportRow): string {
  const name = nameOfRef(model);
  const argument = name === model && !/\s/.test(model) ? model : `"${nameOfPlace(model)}"`;
  const isScaled = rope?.factor !== undefined && (rope.type === "yarn" || rope.type === "linear");
  return isScaled ? `${argument} --rope-scaling ${rope.type} --rope-scale ${rope.factor}` : argument;
}

/** A table of the criteria with their intervals and limits. */
function evidenceTable({ criteria, tail }: Judged): string {
  const line = (name: string, value: string, interval: string, limit: string): string =>
    `<tr><td>${escapeHtml(name)}</td><td>${value}</td><td class="soft">${interval}</td><td class="soft">${limit}</td></tr>`;
  const lines = criteria.map(({ name, estimate, threshold }) => {
    const show = (value: number): string =>
      name === "top-1" ? percent(value) : name === "PPL ratio" ? value.toFixed(4) : figure(value);
    const sign = name === "top-1" ? "≥" : "≤";
    const range = `${show(estimate.low)} – ${show(estimate.high)}`;
    return line(name, show(estimate.value), range, `${sign} ${show(threshold)}`);
  });
  if (tail) lines.push(line("KLD p99.9", figure(tail.value), "", `≤ ${figure(tail.limit)}`));
  return `<div class="scroll"><table>${lines.join("")}</table></div>`;
}

function figureHtml({ id, title, caption, svg, table }: Figure, number: number): string {
  return (
    `<figure id="${escapeHtml(id)}"><h3>${escapeHtml(title)}</h3><div class="picture">${svg}</div>` +
    `<figcaption><b>Figure ${number}.</b> ${escapeHtml(caption)}</figcaption>` +
    `${table ? `<details><summary>The numbers</summary>${tableHtml(table)}</details>` : ""}</figure>`
  );
}

function tableHtml({ columns, rows }: Table, id?: string): string {
  const isText = columns.map((_, i) => rows.every((row) => typeof row[i] === "string"));
  const cell = (value: Cell, i: number): string =>
    typeof value === "string"
      ? `<td${isText[i] ? ' class="text"' : ""}>${escapeHtml(value)}</td>`
      : `<td data-value="${value.value}">${escapeHtml(value.text)}</td>`;
  const head = columns.map((title, i) => `<th${isText[i] ? ' class="text"' : ""}>${escapeHtml(title)}</th>`).join("");
  const body = rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("\n");
  return `<div class="scroll"><table${id ? ` id="${id}"` : ""}><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

function rowTable(rows: readonly ReportRow[]): Table {
  const number = (value: number | null, text: (value: number) => string): Cell =>
    value === null ? "–" : { value, text: text(value) };
  return {
    columns: [
      "format",
      "model",
      "ctx",
      "tokens",
      "bits/value",
      "mean KLD",
      "p99",
      "p99.9",
      "same top-1",
      "PPL ratio",
      "recall",
    ],
    rows: rows.map((row) => [
      row.lever ? `${row.kv} (${row.lever})` : row.kv,
      row.modelLabel,
      number(row.ctx, formatCount),
      number(row.tokens, formatCount),
      number(row.bitsPerValue, (value) => value.toFixed(2)),
      number(row.kldMean, figure),
      number(row.kldP99, figure),
      number(row.kldP999, figure),
      number(row.top1, percent),
      number(row.pplRatio, (value) => value.toFixed(4)),
      number(row.needle, (value) => percent(value, 0)),
    ]),
  };
}

/** The row as it was read, for readers who want to compute with it; a model that was a path is named instead. */
function plainRow({ format: _format, modelLabel: _label, ...row }: ReportRow): object {
  return { ...row, model: nameOfRef(row.model) };
}
