/** @file Distributes bits over layers and sides under a budget: the exact minimum of a sum of measured costs. */
import { TurboQuantError } from "../errors.ts";

/**
 * Finds the widths that minimise the sum of costs within a budget, by dynamic programming over the bits spent (a
 * multiple-choice knapsack). Of equal sums the one with fewer bits wins.
 *
 * costs: [unit][width] ≥ 0, in any unit that adds up · widths: bits, ascending · budget: bits of all units together · sizes: how many
 * values each unit has beside the others, whole numbers; default: 1 each
 * returns: an index into `widths` for each unit
 * @throws TurboQuantError invalid_argument — the budget is below the smallest width
 */
export function allocateBits(
  costs: readonly (readonly number[])[],
  widths: readonly number[],
  budget: number,
  sizes: readonly number[] = costs.map(() => 1),
): number[] {
  const [smallest, largest] = [widths[0]!, widths.at(-1)!];
  const values = sizes.reduce((sum, size) => sum + size, 0);
  const limit = Math.min(Math.floor(budget + 1e-9), values * largest);
  if (limit < values * smallest) {
    throw new TurboQuantError(
      "invalid_argument",
      `allocate: expected at least ${smallest} bits a value (the smallest width), got a budget of ${(budget / values).toFixed(2)}; raise it or allow smaller --widths`,
      { budget, units: costs.length, smallest },
    );
  }
  // best[b]: least cost of the units so far with exactly b bits; chosen[unit][b]: the width that led there.
  let best = new Float64Array(limit + 1).fill(Number.POSITIVE_INFINITY);
  best[0] = 0;
  const chosen: Uint8Array[] = [];
  for (const [unit, own] of costs.entries()) {
    const next = new Float64Array(limit + 1).fill(Number.POSITIVE_INFINITY);
    const choice = new Uint8Array(limit + 1);
    for (let spent = 0; spent <= limit; spent++) {
      if (best[spent] === Number.POSITIVE_INFINITY) continue;
      for (const [i, width] of widths.entries()) {
        const total = best[spent]! + own[i]!;
        const then = spent + width * sizes[unit]!;
        if (then > limit || total >= next[then]!) continue;
        next[then] = total;
        choice[then] = i;
      }
    }
    best = next;
    chosen.push(choice);
  }
  let spent = 0;
  for (let b = 0; b <= limit; b++) if (best[b]! < best[spent]! || best[spent] === Number.POSITIVE_INFINITY) spent = b;
  const result: number[] = [];
  for (const [i, choice] of chosen.toReversed().entries()) {
    result.push(choice[spent]!);
    spent -= widths[choice[spent]!]! * sizes.at(-1 - i)!;
  }
  return result.reverse();
}

/**
 * Interpolates costs at all widths from those at a few: linear in ln cost over ln distortion, and beyond the ends proportional
 * to the distortion (KL divergence is quadratic in a small error). A width never costs more than a smaller one.
 *
 * measured: width → cost > 0, at least one · distortion: as a function of the width
 */
export function interpolateCosts(
  measured: ReadonlyMap<number, number>,
  widths: readonly number[],
  distortion: (width: number) => number,
): number[] {
  const known = [...measured].sort(([a], [b]) => a - b);
  const log = (x: number): number => Math.log(Math.max(x, 1e-300));
  const at = (width: number): number => {
    const exact = measured.get(width);
    if (exact !== undefined) return exact;
    const above = known.findIndex(([other]) => other > width);
    const x = log(distortion(width));
    if (above > 0) {
      const [[w0, c0], [w1, c1]] = [known[above - 1]!, known[above]!];
      const [x0, x1] = [log(distortion(w0)), log(distortion(w1))];
      return Math.exp(log(c0) + ((log(c1) - log(c0)) * (x - x0)) / (x1 - x0));
    }
    const [nearest, cost] = above === 0 ? known[0]! : known.at(-1)!;
    return (cost * distortion(width)) / distortion(nearest);
  };
  let least = Number.POSITIVE_INFINITY;
  return widths.map((width) => {
    least = Math.min(least, at(width));
    return least;
  });
}
