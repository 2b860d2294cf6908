/** @file The tuner's history: for each shape the best so far after every plan that was tried, as a multiple of the rule's time. */
import type { Figure } from "../figure.ts";
import { color } from "../palette.ts";
import { draw, type PlotContext } from "../plot-context.ts";
import { slug } from "../texts.ts";

/** What the figure needs of a row of the tuner. */
export interface TunedRow {
  readonly kernel: string;
  readonly plan: string;
  readonly us: number | null;
  readonly bestUs: number | null;
  readonly ruleUs: number | null;
}

const PANEL_HEIGHT = 84;

/** One picture with a panel for each shape; null without a row that was timed. */
export function tuningFigure(context: PlotContext, device: string, rows: readonly TunedRow[]): Figure | null {
  const { Plot } = context;
  const kernels = [...new Set(rows.filter(({ us }) => us !== null).map(({ kernel }) => kernel))];
  if (kernels.length === 0) return null;
  const points = kernels.flatMap((kernel) =>
    rows
      .filter((row) => row.kernel === kernel && row.us !== null && row.ruleUs !== null && row.bestUs !== null)
      .map(({ plan, us, bestUs, ruleUs }, i) => ({
        ...{ kernel, plan, number: i + 1 },
        ...{ ratio: us! / ruleUs!, best: bestUs! / ruleUs! },
      })),
  );
  type Point = (typeof points)[number];
  // What takes more than twice the rule's time says no more than that it does.
  const shown = (point: Point): number => Math.min(2, point.ratio);
  const title = `${device}: plans of the tuner`;
  const { svg } = draw(context, title, {
    height: 60 + kernels.length * PANEL_HEIGHT,
    marginTop: 34,
    x: { label: "plan", labelAnchor: "center", labelArrow: "none", tickSize: 4 },
    y: { label: "time / the rule's", domain: [0.4, 2], ticks: [0.5, 1, 1.5, 2], tickSize: 0 },
    fy: { domain: kernels, label: null, axis: null, paddingInner: 0.35 },
    marks: [
      Plot.gridY({ stroke: color("grid"), strokeOpacity: 1, ticks: [0.5, 1, 1.5, 2] }),
      Plot.ruleY([1], { stroke: color("rule") }),
      Plot.dot(points, {
        ...{ x: "number", y: shown, fy: "kernel", r: 2.6, fill: color("baseline") },
        title: ({ plan, ratio }: Point) => `${plan}: ${ratio.toFixed(2)}`,
      }),
      Plot.line(points, {
        ...{ x: "number", y: "best", fy: "kernel", z: "kernel", curve: "step-after" as const },
        ...{ stroke: color("ours"), strokeWidth: 1.8 },
      }),
      Plot.text(kernels, {
        ...{ fy: (kernel: string) => kernel, text: (kernel: string) => kernel, frameAnchor: "top-left" as const },
        ...{ dy: -13, fontWeight: 600, fill: color("ink") },
      }),
    ],
  });
  const caption =
    "Dots are plans in the order in which they were tried, by their median time beside the rule's plan; the line is the best so far. A plan takes the " +
    "rule's place only where it beats it again, by more than both scatter.";
  return { id: `tune-${slug(device)}`, title, caption, svg };
}
