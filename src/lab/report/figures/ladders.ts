/** @file Figures of ladders: keys alone and values alone beside both, and each option of a format switched by itself. */
import { formatCount } from "../../../format-number.ts";
import type { Figure } from "../figure.ts";
import { color } from "../palette.ts";
import { EM_SPACE, figure, type PlotContext } from "../plot-context.ts";
import type { ReportRow, RowGroup } from "../report-row.ts";
import { slug } from "../texts.ts";
import { type Bar, drawBars } from "./bars.ts";

const bar = (panel: string, name: string, row: ReportRow, reference: ReportRow, fill: string): Bar => ({
  panel,
  name,
  ratio: row.kldMean / reference.kldMean,
  text: `${(row.kldMean / reference.kldMean).toFixed(2)}×${EM_SPACE}${figure(row.kldMean)}`,
  color: fill,
});

/** Compares formats that the group has as a whole, as keys only and as values only; null when there are none. */
export function sidesFigure(context: PlotContext, { modelLabel, ctx, tokens, rows }: RowGroup): Figure | null {
  const bars: Bar[] = [];
  for (const both of rows.filter(({ format, kldMean }) => format.side === "both" && kldMean > 0)) {
    const side = (name: "k" | "v") =>
      rows.find(({ format }) => format.side === name && format.wholeSpec === both.format.wholeSpec);
    const [k, v] = [side("k"), side("v")];
    if (!k || !v) continue;
    bars.push(
      bar(both.kv, "keys and values", both, both, color("ink")),
      bar(both.kv, "keys alone", k, both, color("ours")),
      bar(both.kv, "values alone", v, both, color("published")),
    );
  }
  if (bars.length === 0) return null;
  return {
    id: `sides-${slug(modelLabel)}`,
    title: `${modelLabel}: which side costs`,
    caption:
      `Mean KL divergence with only the keys or only the values quantized, relative to both; the number behind is in nats. ` +
      `${formatCount(tokens)} tokens in chunks of ${formatCount(ctx)}.`,
    svg: drawBars(
      context,
      `Keys alone and values alone against both, ${modelLabel}`,
      "mean KLD relative to both sides",
      bars,
    ),
  };
}

/** One figure for each ladder of `eval --ladder`: the format as given, and the effect of each option. */
export function leverFigures(context: PlotContext, rows: readonly ReportRow[]): Figure[] {
  const ladders: ReportRow[][] = [];
  for (const row of rows) {
    if (row.lever === "as given") ladders.push([row]);
    else if (row.lever !== undefined) ladders.at(-1)?.push(row);
  }
  return ladders
    .filter(([given, ...rest]) => given!.kldMean > 0 && rest.length > 0)
    .map((ladder) => {
      const [given] = ladder as [ReportRow, ...ReportRow[]];
      const fill = ({ kldMean }: ReportRow): string =>
        kldMean > 1.05 * given.kldMean ? color("bad") : kldMean < 0.95 * given.kldMean ? color("good") : color("soft");
      const bars = ladder.map((row) => {
        const own = bar("", row.lever!, row, given, row === given ? color("ink") : fill(row));
        return { ...own, text: `${own.text}${EM_SPACE}${row.bitsPerValue.toFixed(2)} bits` };
      });
      return {
        id: `ladder-${slug(given.modelLabel)}-${slug(given.kv)}`,
        title: `${given.modelLabel}: the levers of ${given.kv}`,
        caption:
          `Mean KL divergence with one thing changed, relative to the format as given; behind it in nats, and the stored bits a value. ` +
          `${formatCount(given.tokens)} tokens in chunks of ${formatCount(given.ctx)}. Red: worse by more than 5 %; green: better.`,
        svg: drawBars(
          context,
          `Levers of ${given.kv} on ${given.modelLabel}`,
          "mean KLD relative to the format as given",
          bars,
        ),
      };
    });
}
