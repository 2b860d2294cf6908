/** @file Bits a value against KLD for all formats of a model, with the Pareto front. */
import { GATES } from "../../../plan/gates.ts";
import { paretoFront } from "../../pareto.ts";
import { FAMILIES, FAMILY_LABELS } from "../describe-format.ts";
import type { Figure } from "../figure.ts";
import { color } from "../palette.ts";
import { placeLabels } from "../place-labels.ts";
import { draw, figure, kldAxis, type PlotContext, shownKld } from "../plot-context.ts";
import type { ReportRow, RowGroup } from "../report-row.ts";
import { slug, specShortener } from "../texts.ts";

const WIDTH = 760;
const HEIGHT = 460;
const MARGIN = { left: 64, right: 24, top: 28, bottom: 48 };
/** Half the width of a 95 % interval in standard errors. */
const Z95 = 1.96;
const MIN_FORMATS = 3;

/**
 * The Pareto front of bits and KLD. Where several formats of one size cannot be told from the best one by this text, the one
 * with the shortest name represents them, because it changes the fewest options.
 */
function frontOf(rows: readonly ReportRow[]): ReportRow[] {
  const front = paretoFront(
    rows,
    (row) => row.bitsPerValue,
    (row) => row.kldMean,
  );
  return front.map((best) => {
    const equal = rows.filter(
      (row) => row.bitsPerValue === best.bitsPerValue && row.kldMean <= best.kldMean + (best.kldMeanSe ?? 0),
    );
    return equal.reduce((a, b) => (b.kv.length < a.kv.length ? b : a));
  });
}

/** null when there are fewer formats than a front needs. */
export function paretoFigure(context: PlotContext, { modelLabel, ctx, tokens, rows: all }: RowGroup): Figure | null {
  const rows = all.filter(({ format }) => format.side !== "none");
  if (rows.length < MIN_FORMATS) return null;
  const { Plot } = context;
  const front = frontOf(rows);
  const klds = rows.map((row) => shownKld(row.kldMean));
  const gates = Object.entries(GATES).map(([name, { kldMean }]) => ({ name, kldMean }));
  const spread = [...klds, ...gates.map(({ kldMean }) => kldMean)];
  const bits = rows.map((row) => row.bitsPerValue);
  const xDomain = [Math.floor(Math.min(...bits) - 0.25), Math.ceil(Math.max(...bits) + 0.25)];
  const yDomain = [Math.min(...spread) * 0.6, Math.max(...spread) * 1.6];
  const families = FAMILIES.filter((family) => rows.some(({ format }) => format.family === family));
  const withError = rows.filter((row) => row.kldMeanSe !== null);
  const y = (row: ReportRow): number => shownKld(row.kldMean);
  const base = [
    ...kldAxis(Plot, yDomain),
    Plot.ruleY(gates, { y: "kldMean", stroke: color("soft"), strokeDasharray: "2,4" }),
    Plot.text(gates, {
      y: "kldMean",
      text: (gate: (typeof gates)[number]) => `${gate.name} ≤ ${gate.kldMean}`,
      frameAnchor: "right",
      textAnchor: "end",
      dy: -7,
      fill: color("soft"),
      fontStyle: "italic",
    }),
    Plot.line(front, {
      x: "bitsPerValue",
      y,
      curve: "step-after",
      stroke: color("ink"),
      strokeWidth: 1.2,
      strokeOpacity: 0.45,
    }),
    Plot.ruleX(withError, {
      x: "bitsPerValue",
      y1: (row: ReportRow) => Math.max(y(row) - Z95 * row.kldMeanSe!, y(row) / 4),
      y2: (row: ReportRow) => y(row) + Z95 * row.kldMeanSe!,
      stroke: (row: ReportRow) => color(row.format.family),
      strokeOpacity: 0.55,
    }),
    Plot.dot(rows, {
      x: "bitsPerValue",
      y,
      r: (row: ReportRow) => (front.includes(row) ? 5 : 3.6),
      // Hollow points are formats in which only one side is quantized.
      fill: (row: ReportRow) => (row.format.side === "both" ? color(row.format.family) : color("panel")),
      stroke: (row: ReportRow) => color(row.format.family),
      strokeWidth: 1.6,
      title: (row: ReportRow) => `${row.kv}: ${row.bitsPerValue.toFixed(2)} bits, KLD ${figure(row.kldMean)}`,
    }),
    ...families.map((family, i) =>
      Plot.text([family], {
        text: () => `●  ${FAMILY_LABELS[family]}`,
        frameAnchor: "top-right",
        textAnchor: "end",
        dy: 4 + 17 * i,
        dx: -2,
        fill: color(family),
        fontWeight: 600,
      }),
    ),
  ];
  const options = {
    width: WIDTH,
    height: HEIGHT,
    marginLeft: MARGIN.left,
    marginRight: MARGIN.right,
    marginTop: MARGIN.top,
    marginBottom: MARGIN.bottom,
    x: {
      domain: xDomain,
      label: "stored bits a value, everything counted",
      labelAnchor: "center" as const,
      labelArrow: "none" as const,
      tickSize: 4,
    },
    y: { type: "log" as const, domain: yDomain, axis: null },
    r: { type: "identity" as const },
  };
  const label = `Bits a value against mean KL divergence of ${rows.length} cache formats of ${modelLabel}`;
  const { scale } = draw(context, label, { ...options, marks: base });
  const at = (row: ReportRow) => ({ x: scale("x")!(row.bitsPerValue), y: scale("y")!(y(row)) });
  const frame = { left: MARGIN.left, right: WIDTH, top: 4, bottom: HEIGHT - MARGIN.bottom };
  const labelled = [...front, ...rows.filter((row) => row.format.family === "baseline" && !front.includes(row))];
  // No label may cover the legend's corner.
  const corner = families.flatMap((_, i) =>
    [0, 40, 80, 120].map((x) => ({ x: WIDTH - MARGIN.right - x, y: MARGIN.top + 4 + 17 * i })),
  );
  const shorten = specShortener(rows);
  const placed = placeLabels(
    labelled.map((row) => ({ ...at(row), row, text: shorten(row) })),
    [...rows.map(at), ...corner],
    frame,
  );
  const labels = placed.map(({ row, text, dx, dy, anchor }) =>
    Plot.text([row], {
      x: "bitsPerValue",
      y,
      text: () => text,
      dx,
      dy,
      textAnchor: anchor,
      fill: color("ink"),
      stroke: color("panel"),
      strokeWidth: 4,
    }),
  );
  const { svg } = draw(context, label, { ...options, marks: [...base, ...labels] });
  return {
    id: `pareto-${slug(modelLabel)}`,
    title: `${modelLabel}: what a bit buys`,
    caption:
      `${rows.length} formats of ${modelLabel} on ${tokens.toLocaleString("en-US")} tokens in chunks of ${ctx.toLocaleString("en-US")}; codes, scales, sinks and window are counted as allocated. ` +
      "The line is the front: no other format is both smaller and nearer to the exact cache. Hollow: keys or values alone." +
      (withError.length > 0 ? " Vertical lines are 95 % intervals." : ""),
    svg,
    table: {
      columns: ["format on the front", "bits/value", "mean KLD", "p99.9", "same top-1", "PPL ratio"],
      rows: front.map((row) => [
        row.kv,
        { value: row.bitsPerValue, text: row.bitsPerValue.toFixed(2) },
        { value: row.kldMean, text: figure(row.kldMean) },
        row.kldP999 === null ? "–" : { value: row.kldP999, text: figure(row.kldP999) },
        { value: row.top1, text: `${(100 * row.top1).toFixed(1)} %` },
        { value: row.pplRatio, text: row.pplRatio.toFixed(4) },
      ]),
    },
  };
}
