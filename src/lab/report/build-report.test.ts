/** @file The page: its figures are well-formed and show every row, its numbers are those of the rows. */
import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import { familyRows, testRow } from "../../../test/support/report-rows.ts";
import { buildReport } from "./build-report.ts";
import { reportPage } from "./page.ts";
import { PALETTE, resolveColors } from "./palette.ts";

const cell = (length: number, depth: number, recall: number) => ({
  length,
  depth,
  recall,
  prompts: 8,
  recallLow: 0,
  recallHigh: 1,
  recallBase: 1,
});
const ladder = [
  testRow({ kv: "k3v3", bits: 3.25, kld: 0.1, more: { lever: "as given" } }),
  testRow({ kv: "k3v3,search=off", bits: 3.25, kld: 0.13, more: { lever: "search off" } }),
];
const run = (parameters: object, kld: number) =>
  testRow({
    kv: `paper-4,codebook=${(parameters as { codebook: number }).codebook}`,
    bits: 4.25,
    kld,
    more: { parameters },
  });
const rows = [
  ...familyRows({ needle: 0.5, needleBase: 0.9, needleLow: 0.4, needleHigh: 0.6, needlePrompts: 30 }),
  ...familyRows({ model: "qwen3-9m", needleGrid: [cell(512, 0, 0.25), cell(512, 0.5, 1)] }),
  ...[512, 2048].flatMap((ctx) => familyRows({ ctx, tokens: 2 * ctx }).slice(0, 4)),
  ...ladder,
  run({ bits: 4, codebook: 10 }, 0.06),
  run({ bits: 4, codebook: 50 }, 0.05),
  run({ bits: 4, codebook: 100 }, 0.04),
];
const report = await buildReport(rows, "A <title>");
const page = reportPage(report, { sources: ["rows.jsonl"], version: "1" });
const { document } = parseHTML(page);
const svgOf = (id: string) => document.querySelector(`figure#${id} svg`)!;
const texts = (id: string): string[] => [...svgOf(id).querySelectorAll("text")].map((node) => node.textContent!.trim());

describe("figures", () => {
  it("has one of each kind that the rows have enough for", () => {
    expect(report.figures.map(({ id }) => id)).toEqual([
      "pareto-qwen3-3m",
      "pareto-qwen3-9m",
      "size-by-bits",
      "sides-qwen3-3m",
      "sides-qwen3-9m",
      "ladder-qwen3-3m-k3v3",
      "codebook-qwen3-3m-1024",
      "context-qwen3-3m",
      "recall-qwen3-3m",
      "needles-qwen3-9m",
    ]);
    expect(document.querySelectorAll("figure")).toHaveLength(report.figures.length);
  });

  it("every picture is a labelled image without a stray colour, NaN or script", () => {
    for (const { id, svg, caption } of report.figures) {
      expect(svg, id).toMatch(/^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
      expect(svgOf(id).getAttribute("aria-label"), id).toMatch(/\w{3,} \w/);
      expect(svg, id).not.toMatch(/NaN|undefined|Infinity|<script/);
      expect(caption.length, id).toBeGreaterThan(40);
      for (const [, name] of svg.matchAll(/var\(--([a-z]+)\)/g)) expect(PALETTE, id).toHaveProperty(name!);
      for (const theme of ["light", "dark"] as const) expect(resolveColors(svg, theme)).not.toContain("var(");
    }
  });

  it("the front has a point a format, a line along the best ones and their names", () => {
    const group = familyRows();
    // Codebook runs and the ladder belong to the same model, text and context.
    expect(svgOf("pareto-qwen3-9m").querySelectorAll("circle")).toHaveLength(group.length);
    const labels = texts("pareto-qwen3-9m");
    for (const bits of [2, 3, 4, 5, 6, 7, 8]) expect(labels).toContain(`k${bits}v${bits}`);
    expect(labels).not.toContain("paper-4");
    expect(labels).toContain("q8_0");
    expect(labels).toEqual(
      expect.arrayContaining(["usable ≤ 0.03", "intact ≤ 0.01", "●  as published", "●  baselines"]),
    );
  });

  it("points lie where the numbers are: more bits to the right, less divergence below", () => {
    const at = [...svgOf("pareto-qwen3-9m").querySelectorAll("circle")].map((node) => ({
      x: Number(node.getAttribute("cx")),
      y: Number(node.getAttribute("cy")),
      title: node.textContent!,
    }));
    const [two, four, six] = [2, 4, 6].map((bits) => at.find(({ title }) => title.startsWith(`paper-${bits}:`))!);
    expect(four!.x - two!.x).toBeCloseTo(six!.x - four!.x, 6);
    // The KLD of the rows falls by 4 a bit: equal steps on a logarithmic axis.
    expect(four!.y - two!.y).toBeCloseTo(six!.y - four!.y, 6);
    expect(four!.y).toBeGreaterThan(two!.y);
  });

  it("the heat map has a cell a model and width with its KLD", () => {
    const labels = texts("size-by-bits");
    expect(svgOf("size-by-bits").querySelectorAll("rect")).toHaveLength(2 * 2 * 7);
    for (const row of familyRows().slice(0, 4)) expect(labels).toContain(String(Number(row.kldMean.toPrecision(3))));
  });

  it("bars of a ladder are as long as their ratios", () => {
    const bars = [...svgOf("ladder-qwen3-3m-k3v3").querySelectorAll("path, rect")]
      .map((node) => Number(node.getAttribute("width")))
      .filter((width) => width > 0);
    expect(bars).toHaveLength(2);
    expect(bars[1]! / bars[0]!).toBeCloseTo(1.3, 6);
    expect(texts("ladder-qwen3-3m-k3v3")).toEqual(expect.arrayContaining(["as given", "search off"]));
    expect(texts("ladder-qwen3-3m-k3v3").join(" ")).toMatch(/1\.30×.0\.13/);
  });

  it("recall is shown beside the exact cache", () => {
    expect(texts("needles-qwen3-9m")).toEqual(expect.arrayContaining(["exact cache", "25 %", "100 %"]));
    expect(texts("recall-qwen3-3m").filter((text) => text.startsWith("50 %"))).toHaveLength(17);
  });
});

describe("page", () => {
  it("its table has the rows' numbers, to the last digit", () => {
    const cells = [...document.querySelectorAll("table#runs tbody tr")].map((tr) =>
      [...tr.querySelectorAll("td[data-value]")].map((td) => Number(td.getAttribute("data-value"))),
    );
    expect(cells).toHaveLength(rows.length);
    for (const [i, row] of rows.entries()) {
      const { ctx, tokens, bitsPerValue, kldMean, kldP99, kldP999, top1, pplRatio, needle } = row;
      const numbers = [ctx, tokens, bitsPerValue, kldMean, kldP99, kldP999, top1, pplRatio, needle];
      expect(cells[i]).toEqual(numbers.filter((value) => value !== null));
    }
  });

  it("carries the rows as they were read", () => {
    const stored = JSON.parse(document.querySelector("script#rows")!.textContent!);
    expect(stored).toHaveLength(rows.length);
    const { format: _format, modelLabel: _label, ...first } = rows[0]!;
    expect(stored[0]).toEqual(JSON.parse(JSON.stringify(first)));
  });

  it("needs nothing from elsewhere, and escapes what it was given", () => {
    expect(page).not.toMatch(/(?:src|href)=|@import|url\(/);
    expect(document.querySelector("h1")!.textContent).toBe("A <title>");
    expect(page).toContain("<h1>A &lt;title&gt;</h1>");
  });

  it("recommends for every model and gate, with a command", () => {
    const cards = [...document.querySelectorAll(".card")].map((node) => node.textContent!);
    expect(cards).toHaveLength(4);
    expect(cards.filter((text) => text.includes("turboquant run --model qwen3-9m --kv k"))).toHaveLength(2);
  });

  it("names a model that was a path on another machine by its name, and no path anywhere", async () => {
    const own = familyRows().map((row) => ({
      ...row,
      model: "/home/me/models/Small.Q4_0.gguf",
      modelLabel: "Small.Q4_0",
    }));
    const text = reportPage(await buildReport(own, "t"), { sources: ["rows.jsonl"], version: "1" });
    expect(text).toContain("turboquant run --model &quot;Small.Q4_0&quot; --kv");
    expect(text).not.toContain("/home/me");
  });

  it("nothing to draw is said", async () => {
    await expect(buildReport([], "t")).rejects.toThrow(/no finished runs/);
    expect((await buildReport([testRow({ kv: "k4v4", bits: 4, kld: 0.1 })], "t")).figures).toEqual([]);
  });
});
