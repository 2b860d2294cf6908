/** @file Turns rows into the figures and findings of a report. */
import { TurboQuantError } from "../../errors.ts";
import type { Figure } from "./figure.ts";
import { effectsFigure } from "./figures/effects.ts";
import { leverFigures, sidesFigure } from "./figures/ladders.ts";
import { contextFigures, parameterFigures } from "./figures/lines.ts";
import { needleGridFigure, recallFigure } from "./figures/needles.ts";
import { paretoFigure } from "./figures/pareto.ts";
import { sizeByBitsFigure } from "./figures/size-by-bits.ts";
import { loadPlot } from "./plot-context.ts";
import { type Recommendation, recommend } from "./recommendation.ts";
import { groupRows, mainGroups, type ReportRow } from "./report-row.ts";

export interface Report {
  readonly title: string;
  readonly rows: readonly ReportRow[];
  readonly recommendations: readonly Recommendation[];
  readonly figures: readonly Figure[];
}

/**
 * Draws every figure for which there are enough rows.
 * @throws TurboQuantError invalid_argument — no rows; unsupported — the packages for drawing are not installed
 */
export async function buildReport(rows: readonly ReportRow[], title: string): Promise<Report> {
  if (rows.length === 0) {
    throw new TurboQuantError("invalid_argument", "report: no finished runs in these files; let a sweep do some first");
  }
  const context = await loadPlot();
  // Ladders and sweeps may contain the same format. Figures of one model leave the changed formats of ladders out.
  const plain = rows.filter(({ lever }) => lever === undefined || lever === "as given");
  const groups = mainGroups(plain);
  const every = groupRows(plain);
  const present = (figures: readonly (Figure | null)[]): Figure[] => figures.filter((one) => one !== null);
  return {
    title,
    rows,
    recommendations: groups
      .filter((group) => group.rows.some(({ format }) => format.side === "both"))
      .flatMap((group) => [recommend("intact", group), recommend("usable", group)]),
    figures: withUniqueIds([
      ...present(groups.map((group) => paretoFigure(context, group))),
      ...present([sizeByBitsFigure(context, groups)]),
      ...present(groups.map((group) => sidesFigure(context, group))),
      ...leverFigures(context, rows),
      ...present([effectsFigure(context, plain)]),
      ...parameterFigures(context, plain),
      ...contextFigures(context, plain),
      ...present(groups.map((group) => recallFigure(context, group))),
      ...present(every.map((group) => needleGridFigure(context, group))),
    ]),
  };
}

/** Makes the file names of the figures different from each other. */
function withUniqueIds(figures: readonly Figure[]): Figure[] {
  const seen = new Map<string, number>();
  return figures.map((figure) => {
    const before = seen.get(figure.id) ?? 0;
    seen.set(figure.id, before + 1);
    return before === 0 ? figure : { ...figure, id: `${figure.id}-${before + 1}` };
  });
}
