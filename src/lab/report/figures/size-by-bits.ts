/** @file Mean KLD by model size and bits, one panel for each codec, as a heat map and a table. */
import { formatCount } from "../../../format-number.ts";
import { GATES } from "../../../plan/gates.ts";
import { FAMILY_LABELS } from "../describe-format.ts";
import type { Figure } from "../figure.ts";
import { color, heatColor } from "../palette.ts";
import { draw, figure, type PlotContext, shownKld } from "../plot-context.ts";
import type { ReportRow, RowGroup } from "../report-row.ts";
import { percent } from "../texts.ts";

const ROW_HEIGHT = 46;
const PANEL_GAP = 40;
/** The colour scale reaches this many decades of KLD to either side of its middle, the gate `usable`. */
const DECADES = 2;

interface HeatCell {
  readonly panel: string;
  readonly model: string;
  readonly bits: number;
  readonly row: ReportRow;
}

const panelOf = ({ format: { family, hasExactTokens } }: ReportRow): string =>
  family === "ours" ? `ours, ${hasExactTokens ? "with the exact window" : "codes alone"}` : FAMILY_LABELS[family];

/** Place of a KLD on the colour scale from 0 to 1, where ½ is the gate. */
const heatShare = (kld: number): number => 0.5 + Math.log10(shownKld(kld) / GATES.usable.kldMean) / (2 * DECADES);

/**
 * groups: the main group of each model, the smallest model first
 * returns: null when no codec has two widths
 */
export function sizeByBitsFigure(context: PlotContext, groups: readonly RowGroup[]): Figure | null {
  const cells = groups.flatMap(({ modelLabel, rows }) =>
    rows
      .filter(({ format, kv }) => format.bits !== null && format.side === "both" && isPlain(kv))
      .map((row): HeatCell => ({ panel: panelOf(row), model: modelLabel, bits: row.format.bits!, row })),
  );
  // Baselines have no choice of widths; they are in the figure of the Pareto front.
  const panels = [...new Set(cells.map(({ panel }) => panel))].filter(
    (panel) =>
      panel !== FAMILY_LABELS.baseline &&
      new Set(cells.filter((cell) => cell.panel === panel).map(({ bits }) => bits)).size > 1,
  );
  if (panels.length === 0) return null;
  const shown = cells.filter(({ panel }) => panels.includes(panel));
  const widths = [...new Set(shown.map(({ bits }) => bits))].sort((a, b) => a - b);
  const { Plot } = context;
  const models = groups.map(({ modelLabel }) => modelLabel);
  const shades = new Map(shown.map((cell) => [cell, heatColor(heatShare(cell.row.kldMean))]));
  const text = (value: (cell: HeatCell) => string, dy: number, more: object) =>
    Plot.text(shown, {
      x: "bits",
      y: "model",
      fy: "panel",
      text: value,
      fill: (cell: HeatCell) => shades.get(cell)!.text,
      dy,
      ...more,
    });
  const { svg } = draw(context, `Mean KL divergence of ${models.length} models at ${widths.join(", ")} bits`, {
    height: 82 + panels.length * (models.length * ROW_HEIGHT + PANEL_GAP) - PANEL_GAP,
    marginLeft: 110,
    marginRight: 16,
    marginTop: 34,
    x: {
      type: "band",
      domain: widths,
      label: "bits a code",
      labelAnchor: "center",
      labelArrow: "none",
      tickSize: 0,
      padding: 0.04,
    },
    y: { type: "band", domain: models, label: null, tickSize: 0, padding: 0.06 },
    fy: {
      domain: panels,
      label: null,
      axis: null,
      paddingInner: PANEL_GAP / (models.length * ROW_HEIGHT + PANEL_GAP),
      paddingOuter: 0,
    },
    color: { type: "identity" },
    marks: [
      Plot.cell(shown, {
        x: "bits",
        y: "model",
        fy: "panel",
        fill: (cell: HeatCell) => shades.get(cell)!.fill,
        rx: 3,
        title: ({ row }: HeatCell) => `${row.kv}: KLD ${figure(row.kldMean)}, same top-1 ${percent(row.top1)}`,
      }),
      text(({ row }) => figure(row.kldMean), -6, { fontWeight: 600, fontSize: 12.5 }),
      text(({ row }) => percent(row.top1), 9, { fontSize: 10.5, fillOpacity: 0.85 }),
      Plot.text(panels, {
        fy: (panel: string) => panel,
        text: (panel: string) => panel,
        frameAnchor: "top-left",
        dy: -17,
        fontWeight: 600,
        fill: color("ink"),
      }),
    ],
  });
  const tokens = [...new Set(groups.map((group) => group.tokens))].map(formatCount).join(" or ");
  return {
    id: "size-by-bits",
    title: models.length > 1 ? "Model size against bits" : `${models[0]}: every width`,
    caption:
      `Mean KL divergence from the exact cache of the same weights in nats, and below it how often the most likely token is the same; ${tokens} tokens a cell. ` +
      `Sand is the limit of a usable cache (${GATES.usable.kldMean} nats), teal is below it, rust above.`,
    svg,
    table: {
      columns: ["codec", "model", ...widths.map((bits) => `${bits} bits`)],
      rows: panels.flatMap((panel) =>
        models.map((model) => [
          panel,
          model,
          ...widths.map((bits) => {
            const cell = shown.find((one) => one.panel === panel && one.model === model && one.bits === bits);
            return cell ? { value: cell.row.kldMean, text: figure(cell.row.kldMean) } : "–";
          }),
        ]),
      ),
    },
  };
}

/** Whether the spec is a preset with no options changed except sinks and window. */
const isPlain = (kv: string): boolean =>
  kv
    .split(",")
    .slice(1)
    .every((part) => /^(sinks|window)=0$/.test(part));
