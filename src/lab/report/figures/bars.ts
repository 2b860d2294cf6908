/** @file Horizontal bars of ratios to a reference of 1, used for ladders. */
import { color } from "../palette.ts";
import { draw, type PlotContext } from "../plot-context.ts";

export interface Bar {
  readonly panel: string;
  readonly name: string;
  readonly ratio: number;
  /** Text behind the bar. */
  readonly text: string;
  readonly color: string;
}

const BAR_HEIGHT = 26;
const PANEL_GAP = 44;

/** Draws the bars in the given order, in one panel for each heading, with a line at 1. */
export function drawBars(context: PlotContext, label: string, axis: string, bars: readonly Bar[]): string {
  const { Plot } = context;
  const panels = [...new Set(bars.map(({ panel }) => panel))];
  const names = [...new Set(bars.map(({ name }) => name))];
  const longest = Math.max(...names.map((name) => name.length));
  const isTitled = panels.some((panel) => panel !== "");
  const most = Math.max(1, ...bars.map(({ ratio }) => ratio));
  return draw(context, label, {
    height: (isTitled ? 64 : 42) + panels.length * (names.length * BAR_HEIGHT + PANEL_GAP) - PANEL_GAP + 26,
    marginLeft: 24 + longest * 6.6,
    marginRight: 180,
    marginTop: isTitled ? 34 : 12,
    x: { domain: [0, most * 1.02], label: axis, labelAnchor: "center", labelArrow: "none", tickSize: 4, ticks: 6 },
    y: { type: "band", domain: names, label: null, tickSize: 0, padding: 0.28 },
    fy: {
      domain: panels,
      label: null,
      axis: null,
      paddingInner: PANEL_GAP / (names.length * BAR_HEIGHT + PANEL_GAP),
      paddingOuter: 0,
    },
    color: { type: "identity" },
    marks: [
      Plot.gridX({ stroke: color("grid"), strokeOpacity: 1, ticks: 6 }),
      Plot.barX(bars, { x: "ratio", y: "name", fy: "panel", fill: "color", rx: 2 }),
      Plot.ruleX([1], { stroke: color("ink"), strokeOpacity: 0.6, strokeDasharray: "3,3" }),
      Plot.ruleX([0], { stroke: color("rule") }),
      Plot.text(bars, {
        x: "ratio",
        y: "name",
        fy: "panel",
        text: "text",
        textAnchor: "start",
        dx: 7,
        fill: color("ink"),
        fontVariant: "tabular-nums",
      }),
      Plot.text(panels, {
        fy: (panel: string) => panel,
        text: (panel: string) => panel,
        frameAnchor: "top-left",
        dy: -14,
        fontWeight: 600,
        fill: color("ink"),
      }),
    ],
  }).svg;
}
