/**
 * @file KLD as a function of a number: context, codebook iterations, projections of a sketch, window. Each format is a line
 * with its name at the end.
 */
import { formatCount } from "../../../format-number.ts";
import type { Figure } from "../figure.ts";
import { color } from "../palette.ts";
import { draw, figure, kldAxis, type PlotContext, shownKld } from "../plot-context.ts";
import { type ReportRow, subjectOf } from "../report-row.ts";
import { slug } from "../texts.ts";

interface Line {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly row: ReportRow }[];
}

/** The axis is logarithmic when the largest value is at least this many times the smallest. */
const LOG_FROM = 8;
const MIN_POINTS = 3;
const Z95 = 1.96;

interface LinesOptions {
  readonly id: string;
  readonly title: string;
  readonly caption: string;
  readonly axis: string;
  readonly lines: readonly Line[];
}

function drawLines(context: PlotContext, { id, title, caption, axis, lines }: LinesOptions): Figure {
  const { Plot } = context;
  const points = lines.flatMap(({ name, points: own }) => own.map((point) => ({ name, ...point })));
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const isLog = xs[0]! > 0 && xs.at(-1)! / xs[0]! >= LOG_FROM;
  const klds = points.map(({ row }) => shownKld(row.kldMean));
  const yDomain = [Math.min(...klds) * 0.7, Math.max(...klds) * 1.4];
  type Point = (typeof points)[number];
  const y = ({ row }: Point): number => shownKld(row.kldMean);
  const stroke = ({ row }: Point): string => color(row.format.family);
  const ends = lines.map(({ name, points: own }) => ({ name, ...own.at(-1)! }));
  const longest = Math.max(...lines.map(({ name }) => name.length));
  const height = 400;
  const base = {
    height,
    marginRight: 20 + longest * 6.6,
    x: { type: isLog ? ("log" as const) : ("linear" as const), axis: null },
    y: { type: "log" as const, domain: yDomain, axis: null },
    color: { type: "identity" as const },
  };
  const withError = points.filter(({ row }) => row.kldMeanSe !== null);
  const marks = [
    ...kldAxis(Plot, yDomain),
    Plot.axisX(xs, {
      text: formatCount as (x: number) => string,
      label: axis,
      labelAnchor: "center",
      labelArrow: "none",
      tickSize: 4,
    }),
    Plot.ruleX(withError, {
      x: "x",
      y1: (point: Point) => Math.max(y(point) - Z95 * point.row.kldMeanSe!, yDomain[0]!),
      y2: (point: Point) => y(point) + Z95 * point.row.kldMeanSe!,
      stroke,
      strokeOpacity: 0.4,
    }),
    Plot.line(points, { x: "x", y, z: "name", stroke, strokeWidth: 1.8 }),
    Plot.dot(points, {
      x: "x",
      y,
      fill: stroke,
      r: 3.2,
      title: ({ row, x }: Point) => `${row.kv}, ${x}: KLD ${figure(row.kldMean)}`,
    }),
  ];
  const { scale } = draw(context, title, { ...base, marks });
  const tops = spread(ends.map((end) => scale("y")!(y(end))));
  const names = ends.map((end, i) =>
    Plot.text([end], {
      x: "x",
      y,
      text: "name",
      textAnchor: "start",
      dx: 9,
      dy: tops[i]! - scale("y")!(y(end)),
      fill: stroke,
      fontWeight: 600,
    }),
  );
  const { svg } = draw(context, title, { ...base, marks: [...marks, ...names] });
  return { id, title, caption, svg };
}

/** Moves heights apart until neighbours are `least` pixels apart, in the same order. */
export function spread(heights: readonly number[], least = 14): number[] {
  const order = heights.map((_, i) => i).sort((a, b) => heights[a]! - heights[b]!);
  const moved = [...heights];
  for (let pass = 0; pass < 50; pass++) {
    for (let n = 1; n < order.length; n++) {
      const [above, below] = [order[n - 1]!, order[n]!];
      const missing = least - (moved[below]! - moved[above]!);
      if (missing <= 1e-6) continue;
      moved[above] = moved[above]! - missing / 2;
      moved[below] = moved[below]! + missing / 2;
    }
  }
  return moved;
}

const tokensOf = (rows: readonly ReportRow[]): string =>
  [...new Set(rows.map(({ tokens }) => tokens))]
    .sort((a, b) => a - b)
    .map(formatCount)
    .join(", ");

/** One figure for each model whose formats were measured at several contexts. */
export function contextFigures(context: PlotContext, rows: readonly ReportRow[]): Figure[] {
  return [...new Set(rows.map(subjectOf))].flatMap((subject) => {
    const own = rows.filter((row) => subjectOf(row) === subject && row.format.side !== "none" && row.kldMean > 0);
    const lines = [...new Set(own.map(({ kv }) => kv))].flatMap((kv): Line[] => {
      const byContext = new Map(own.filter((row) => row.kv === kv).map((row) => [row.ctx, row]));
      const points = [...byContext].map(([x, row]) => ({ x, row })).sort((a, b) => a.x - b.x);
      return points.length >= MIN_POINTS ? [{ name: kv, points }] : [];
    });
    if (lines.length === 0) return [];
    const { modelLabel } = own[0]!;
    return [
      drawLines(context, {
        id: `context-${slug(modelLabel)}`,
        title: `${modelLabel}: quality against context`,
        caption: `Mean KL divergence over all positions of chunks of the given length, each from an empty cache; ${tokensOf(lines.flatMap(({ points }) => points.map(({ row }) => row)))} tokens a point. Vertical lines are 95 % intervals.`,
        axis: "tokens of a chunk",
        lines,
      }),
    ];
  });
}

/** Parameters that become the x axis of a figure, with the axis's label. */
const AXES: Readonly<Record<string, string>> = {
  codebook: "Lloyd's iterations of the codebook",
  qjl: "projections of the sketch",
  window: "recent tokens, finer than codes",
  sinks: "first tokens, finer than codes",
};

/** One figure for each model and number. A line connects runs that are equal in everything else. */
export function parameterFigures(context: PlotContext, rows: readonly ReportRow[]): Figure[] {
  return Object.entries(AXES).flatMap(([name, axis]) => {
    const runs = rows.filter(({ parameters, kldMean }) => typeof parameters?.[name] === "number" && kldMean > 0);
    return [...new Set(runs.map(({ model, ctx }) => `${model}\n${ctx}`))].flatMap((key) => {
      const own = runs.filter(({ model, ctx }) => `${model}\n${ctx}` === key);
      const { modelLabel, ctx } = own[0]!;
      const lines = linesAlong(name, own);
      if (lines.length === 0) return [];
      return [
        drawLines(context, {
          id: `${name}-${slug(modelLabel)}-${ctx}`,
          title: `${modelLabel}: ${axis}`,
          caption: `Mean KL divergence of runs that differ in nothing else; ${tokensOf(own)} tokens a point in chunks of ${formatCount(ctx)}. Vertical lines are 95 % intervals.`,
          axis,
          lines,
        }),
      ];
    });
  });
}

function linesAlong(name: string, runs: readonly ReportRow[]): Line[] {
  const rest = ({ parameters }: ReportRow): [string, unknown][] =>
    Object.entries(parameters!).filter(([key]) => key !== name);
  const groups = new Map<string, ReportRow[]>();
  for (const run of runs) {
    const key = JSON.stringify(rest(run));
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const kept = [...groups.values()].filter((group) => group.length >= MIN_POINTS);
  // The name of a line has only those parameters that differ between the lines.
  const varying = new Set<string>();
  for (const group of kept) {
    for (const [key, value] of rest(group[0]!)) {
      if (kept.some(([other]) => other!.parameters![key] !== value)) varying.add(key);
    }
  }
  return kept.map((group) => ({
    name:
      rest(group[0]!)
        .filter(([key]) => varying.has(key))
        .map(([key, value]) => (key === "bits" ? `${value} bit${value === 1 ? "" : "s"}` : `${key} ${value}`))
        .join(", ") || group[0]!.format.wholeSpec,
    points: group.map((row) => ({ x: Number(row.parameters![name]), row })).sort((a, b) => a.x - b.x),
  }));
}
