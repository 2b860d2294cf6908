/** @file The effect of each parameter of a sweep: ratios of KLD over pairs of runs that differ in this parameter alone. */
import { formatCount } from "../../../format-number.ts";
import type { Figure } from "../figure.ts";
import { color } from "../palette.ts";
import { draw, EM_SPACE, logTicks, type PlotContext } from "../plot-context.ts";
import type { ReportRow } from "../report-row.ts";

export interface Effect {
  readonly parameter: string;
  /** For example `search: true → false`. */
  readonly name: string;
  readonly pairs: number;
  /** Geometric mean of KLD(to) / KLD(from). */
  readonly ratio: number;
  /** Bounds of its 95 % interval (Student's t over pairs). */
  readonly low: number;
  readonly high: number;
}

/**
 * Pairs whose cache sizes differ by more than this share are left out:
 * sinks, windows and sketches cost bytes, which this figure does not show.
 */
const SAME_SIZE = 0.01;
/** Parameters shown in other figures: size of the cache, context and model. */
const ELSEWHERE = new Set(["bits", "k", "v", "kv", "ctx", "model"]);
const MIN_PAIRS = 3;
/** Numbers with more values than this are drawn as lines (lines.ts). */
const MAX_NUMBERS = 2;
/** Student's t for a two-sided 95 % interval with 2, 3, … degrees of freedom; from 25 on, 1.96 is right within 5 %. */
const T95 = [
  4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101,
  2.093, 2.086, 2.08, 2.074, 2.069, 2.064,
];

/** rows: only rows of sweeps are used */
export function parameterEffects(rows: readonly ReportRow[]): Effect[] {
  const runs = rows.filter(({ parameters, kldMean }) => parameters && kldMean > 0);
  const names = [...new Set(runs.flatMap(({ parameters }) => Object.keys(parameters!)))];
  return names.filter((name) => !ELSEWHERE.has(name)).flatMap((name) => effectsOf(name, runs));
}

function effectsOf(name: string, runs: readonly ReportRow[]): Effect[] {
  const own = runs.filter(({ parameters }) => parameters![name] !== undefined);
  const values = [...new Set(own.map(({ parameters }) => parameters![name]!))].sort((a, b) => (a < b ? -1 : 1));
  if (values.length > MAX_NUMBERS && values.every((value) => typeof value === "number")) return [];
  // Rows with equal text here are the same run, the evaluated text included, except for this parameter.
  const rest = ({ parameters, model, ctx, tokens, textSource }: ReportRow): string =>
    JSON.stringify([
      Object.entries(parameters!)
        .filter(([key]) => key !== name)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
      model,
      ctx,
      tokens,
      textSource,
    ]);
  const byValue = new Map(
    values.map((value) => [
      value,
      new Map(own.filter(({ parameters }) => parameters![name] === value).map((row) => [rest(row), row])),
    ]),
  );
  const [from] = values;
  return values.slice(1).flatMap((to) => {
    const logs = [...byValue.get(to)!].flatMap(([key, row]) => {
      const before = byValue.get(from!)!.get(key);
      const isPair = before && Math.abs(row.bitsPerValue / before.bitsPerValue - 1) < SAME_SIZE;
      return isPair ? [Math.log(row.kldMean / before.kldMean)] : [];
    });
    const n = logs.length;
    if (n < MIN_PAIRS) return [];
    const mean = logs.reduce((sum, log) => sum + log, 0) / n;
    const variance = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (n - 1);
    const half = (T95[n - 3] ?? 1.96) * Math.sqrt(variance / n);
    return [
      {
        parameter: name,
        name: `${name}: ${from} → ${to}`,
        pairs: n,
        ratio: Math.exp(mean),
        low: Math.exp(mean - half),
        high: Math.exp(mean + half),
      },
    ];
  });
}

/** null when no parameter has enough pairs. */
export function effectsFigure(context: PlotContext, rows: readonly ReportRow[]): Figure | null {
  const effects = parameterEffects(rows);
  if (effects.length === 0) return null;
  const { Plot } = context;
  const ends = effects.flatMap(({ low, high }) => [low, high]);
  const domain = [Math.min(0.9, ...ends) * 0.92, Math.max(1.1, ...ends) * 1.08];
  const longest = Math.max(...effects.map(({ name }) => name.length));
  const ticks = logTicks(domain).concat(
    domain[1]! / domain[0]! < 12 ? [0.5, 0.7, 0.85, 1, 1.2, 1.5, 2, 2.5, 4, 5] : [],
  );
  const inside = [...new Set(ticks)].filter((tick) => tick >= domain[0]! && tick <= domain[1]!);
  const fill = ({ low, high }: Effect): string => (low > 1 ? color("bad") : high < 1 ? color("good") : color("soft"));
  const { svg } = draw(context, "Effect of each parameter of the sweep on the mean KL divergence", {
    height: 74 + effects.length * 28,
    marginLeft: 24 + longest * 6.6,
    marginRight: 130,
    x: {
      type: "log",
      domain,
      ticks: inside,
      tickFormat: (tick: number) => `${tick}×`,
      label: "mean KLD, relative",
      labelAnchor: "center",
      labelArrow: "none",
    },
    y: { type: "band", domain: effects.map(({ name }) => name), label: null, tickSize: 0, padding: 0.4 },
    color: { type: "identity" },
    marks: [
      Plot.gridX({ stroke: color("grid"), strokeOpacity: 1, ticks: inside }),
      Plot.ruleX([1], { stroke: color("ink"), strokeOpacity: 0.6, strokeDasharray: "3,3" }),
      Plot.ruleY(effects, { y: "name", x1: "low", x2: "high", stroke: fill, strokeWidth: 2 }),
      Plot.dot(effects, { x: "ratio", y: "name", fill, r: 4.5 }),
      Plot.text(effects, {
        x: () => domain[1]!,
        y: "name",
        text: ({ ratio, pairs }: Effect) => `${ratio.toFixed(2)}×${EM_SPACE}n = ${pairs}`,
        textAnchor: "start",
        dx: 10,
        fill: color("ink"),
        fontVariant: "tabular-nums",
      }),
    ],
  });
  const pairs = effects.reduce((sum, effect) => sum + effect.pairs, 0);
  return {
    id: "effects",
    title: "What each parameter does",
    caption: `Geometric mean of the ratio of mean KL divergences over pairs of runs of one size that differ in this parameter alone (${formatCount(pairs)} pairs), with its 95 % interval over pairs. Left of 1 is better.`,
    svg,
  };
}
