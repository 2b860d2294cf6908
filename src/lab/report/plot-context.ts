/** @file Runs Observable Plot without a browser, and holds what all figures share. */
import { TurboQuantError } from "../../errors.ts";
import { color } from "./palette.ts";

export type PlotModule = typeof import("@observablehq/plot");
type PlotOptions = import("@observablehq/plot").PlotOptions;

export interface PlotContext {
  readonly Plot: PlotModule;
  readonly document: Document;
}

/** Loads Plot and the DOM on demand, because only reports need them. */
export async function loadPlot(): Promise<PlotContext> {
  try {
    const [Plot, { parseHTML }] = await Promise.all([import("@observablehq/plot"), import("linkedom")]);
    return { Plot, document: parseHTML("<html><body></body></html>").document as unknown as Document };
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      "report: @observablehq/plot and linkedom are not installed; npm install @observablehq/plot linkedom",
      {},
      { cause },
    );
  }
}

export const FIGURE_FONT = '"Inter","Helvetica Neue",Helvetica,Arial,"DejaVu Sans",sans-serif';
const FONT_SIZE = 12;
/** Average width of a character in a figure, in pixels; labels are placed with it. */
export const CHARACTER_WIDTH = 6.3;

/** A finished picture. */
export interface Picture {
  /** A complete `<svg>` element; its colours are CSS variables. */
  readonly svg: string;
  readonly scale: (name: "x" | "y") => ((value: unknown) => number) | undefined;
}

/** Draws with the fonts, ink and background that all figures share. label: description for screen readers */
export function draw({ Plot, document }: PlotContext, label: string, options: PlotOptions): Picture {
  const element = Plot.plot({
    document,
    width: 760,
    marginLeft: 64,
    marginRight: 24,
    marginTop: 24,
    marginBottom: 48,
    ariaLabel: label,
    ...options,
  });
  element.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  element.setAttribute("role", "img");
  // Plot sets styles as text, which this DOM does not support, so they are set here.
  element.setAttribute("font-family", FIGURE_FONT.replaceAll('"', "'"));
  element.setAttribute("font-size", `${FONT_SIZE}`);
  element.setAttribute("style", `color:${color("soft")};overflow:visible`);
  return {
    // Plot's own rules would apply to all pictures of a page, since its class name is the same in each.
    svg: element.outerHTML.replace(/<style>[\s\S]*?<\/style>/, ""),
    scale: (name) => element.scale(name)?.apply as ((value: unknown) => number) | undefined,
  };
}

/** Two or three digits, short enough for a label: `0.0123`, `1.2e-5`. */
export function figure(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 0.0001) return Number(value.toPrecision(2)).toExponential();
  return size >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

/** Ticks at 1 and 3 of every decade within the range of the values. */
export function logTicks(values: readonly number[]): number[] {
  const positive = values.filter((value) => value > 0);
  const [low, high] = [Math.min(...positive), Math.max(...positive)];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of [1, 3]) ticks.push(Number(`${factor}e${power}`));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

/** Separates two numbers of a label; several ordinary spaces would collapse into one. */
export const EM_SPACE = "\u2003";

/** The left axis of all figures with a logarithmic KLD. Every tick has its number, which Plot would otherwise thin out. */
export function kldAxis(Plot: PlotModule, domain: readonly number[]) {
  const ticks = logTicks(domain);
  return [
    Plot.gridY(ticks, { stroke: color("grid"), strokeOpacity: 1 }),
    Plot.axisY(ticks, {
      text: figure as (tick: number) => string,
      tickSize: 0,
      label: "mean KL divergence, nats",
      labelArrow: "none",
    }),
  ];
}

/** The smallest KLD that a logarithmic axis shows. */
const SMALLEST_KLD = 1e-6;
export const shownKld = (kld: number): number => Math.max(kld, SMALLEST_KLD);
