/** @file Exact recall: by depth and length where a grid was measured, otherwise one share with its interval for each format. */
import { formatCount } from "../../../format-number.ts";
import type { Figure } from "../figure.ts";
import { color, heatColor } from "../palette.ts";
import { draw, type PlotContext } from "../plot-context.ts";
import type { ReportRow, RowGroup } from "../report-row.ts";
import { percent, slug, specShortener } from "../texts.ts";

type GridCell = NonNullable<ReportRow["needleGrid"]>[number] & { readonly format: string };

/** null when no row has a grid. */
export function needleGridFigure(context: PlotContext, { modelLabel, rows }: RowGroup): Figure | null {
  const own = rows.filter(({ needleGrid }) => needleGrid !== null && needleGrid.length > 0);
  // If the model finds nothing even with an exact cache, the figure would show nothing about the formats.
  if (!own.some(({ needleGrid }) => needleGrid!.some(({ recallBase }) => recallBase > 0))) return null;
  const { Plot } = context;
  const name = specShortener(own);
  const exact = own[0]!.needleGrid!.map((cell) => ({ ...cell, recall: cell.recallBase, format: "exact cache" }));
  const cells: GridCell[] = [
    ...exact,
    ...own.flatMap((row) => row.needleGrid!.map((cell) => ({ ...cell, format: name(row) }))),
  ];
  const formats = [...new Set(cells.map(({ format }) => format))];
  const lengths = [...new Set(cells.map(({ length }) => length))].sort((a, b) => a - b);
  const depths = [...new Set(cells.map(({ depth }) => depth))].sort((a, b) => a - b);
  const shade = (cell: GridCell) => heatColor(1 - cell.recall);
  const { svg } = draw(context, `Recall by depth and length of ${formats.length} caches of ${modelLabel}`, {
    height: 70 + formats.length * (depths.length * 24 + 34),
    marginLeft: 64,
    marginTop: 36,
    x: {
      type: "band",
      domain: lengths,
      tickFormat: formatCount,
      tickSize: 0,
      label: "tokens of the prompt",
      labelAnchor: "center",
      labelArrow: "none",
      padding: 0.03,
    },
    y: {
      type: "band",
      domain: depths,
      tickFormat: (depth: number) => percent(depth, 0),
      tickSize: 0,
      label: "depth",
      labelArrow: "none",
      padding: 0.05,
    },
    fy: { domain: formats, axis: null, label: null, padding: 0.2 },
    color: { type: "identity" },
    marks: [
      Plot.cell(cells, { x: "length", y: "depth", fy: "format", fill: (cell: GridCell) => shade(cell).fill, rx: 2 }),
      Plot.text(cells, {
        x: "length",
        y: "depth",
        fy: "format",
        text: ({ recall }: GridCell) => percent(recall, 0),
        fill: (cell: GridCell) => shade(cell).text,
        fontSize: 11,
      }),
      Plot.text(formats, {
        fy: (format: string) => format,
        text: (format: string) => format,
        frameAnchor: "top-left",
        dy: -16,
        fontWeight: 600,
        fill: color("ink"),
      }),
    ],
  });
  // A length that was cut short by the time it was given has fewer.
  const counts = cells.map(({ prompts }) => prompts);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const prompts = least === most ? String(most) : `${least} to ${most}`;
  return {
    id: `needles-${slug(modelLabel)}`,
    title: `${modelLabel}: what is found again`,
    caption: `Five-digit codes hidden at a depth of prompts of a length, repeated exactly; ${prompts} prompts a cell, so a cell of 50 % is ${least === most ? "" : "at most "}± ${percent(0.98 / Math.sqrt(least), 0)}.`,
    svg,
  };
}

/** null without recall, or with only one format. */
export function recallFigure(context: PlotContext, { modelLabel, rows }: RowGroup): Figure | null {
  const own = rows.filter((row) => row.needle !== null && row.format.side !== "none");
  if (own.length < 2 || !own.some(({ needleBase }) => (needleBase ?? 0) > 0)) return null;
  const { Plot } = context;
  const name = specShortener(own);
  const sorted = own.toSorted((a, b) => a.bitsPerValue - b.bitsPerValue);
  const base = sorted[0]!.needleBase;
  const fill = (row: ReportRow): string => color(row.format.family);
  const longest = Math.max(...sorted.map((row) => name(row).length));
  const { svg } = draw(context, `Recall of ${sorted.length} cache formats of ${modelLabel}`, {
    height: 70 + sorted.length * 22,
    marginLeft: 24 + longest * 6.6,
    marginRight: 120,
    x: {
      domain: [0, 1],
      tickFormat: (x: number) => percent(x, 0),
      label: "answered exactly",
      labelAnchor: "center",
      labelArrow: "none",
    },
    y: { type: "band", domain: sorted.map(name), label: null, tickSize: 0, padding: 0.4 },
    color: { type: "identity" },
    marks: [
      Plot.gridX({ stroke: color("grid"), strokeOpacity: 1 }),
      ...(base === null
        ? []
        : [Plot.ruleX([base], { stroke: color("ink"), strokeOpacity: 0.6, strokeDasharray: "3,3" })]),
      Plot.ruleY(
        sorted.filter(({ needleLow }) => needleLow !== null),
        { y: name, x1: "needleLow", x2: "needleHigh", stroke: fill, strokeWidth: 2, strokeOpacity: 0.6 },
      ),
      Plot.dot(sorted, { x: "needle", y: name, fill, r: 4.2 }),
      ...(
        [
          ["end", 44, (row: ReportRow) => percent(row.needle!, 0)],
          ["end", 104, (row: ReportRow) => `${row.bitsPerValue.toFixed(2)} bits`],
        ] as const
      ).map(([textAnchor, dx, text]) =>
        Plot.text(sorted, {
          x: () => 1,
          y: name,
          text,
          textAnchor,
          dx,
          fill: color("ink"),
          fontVariant: "tabular-nums",
        }),
      ),
    ],
  });
  const { needlePrompts } = sorted[0]!;
  return {
    id: `recall-${slug(modelLabel)}`,
    title: `${modelLabel}: what is found again`,
    caption: `Share of ${needlePrompts} prompts of about 1,400 tokens whose hidden code is repeated exactly, with 95 % intervals (Wilson); the dashed line is the exact cache.`,
    svg,
  };
}
