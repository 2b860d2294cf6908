/**
 * @file Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011) over a finite list of combinations.
 *
 * The best trials and all others each give a density over combinations, a product over the parameters. The next trials are
 * those likely among the best and unlikely among the others. Because the list is finite, the densities are evaluated only for
 * its combinations, so impossible ones are never proposed.
 *
 * Trials are proposed in batches that depend only on the batches before, and not on the number of workers.
 */
import type { Candidate } from "../candidates.ts";
import type { ParameterValue } from "../parameters.ts";
import { Draws } from "./draws.ts";
import { randomSearch } from "./random.ts";
import type { Scores, Strategy, Trial } from "./strategy.ts";

export interface TpeSettings {
  readonly startup: number;
  readonly batch: number;
  readonly chunks: number;
  /** The most runs. */
  readonly runs: number;
  readonly seed: number;
}

/** Share of the finished trials that count as good. */
const GOOD_SHARE = 0.2;
/** Number of combinations drawn from the density of the good ones for each proposal; the one with the best ratio is chosen. */
const DRAWN = 24;
/** Weight of a uniform prior, in trials. */
const PRIOR = 1;

/** One parameter: its values, and for each candidate the index of its value. */
interface Axis {
  readonly numValues: number;
  /** Whether neighbouring values are alike, as with numbers and unlike names. */
  readonly isOrdered: boolean;
  readonly indexOf: Int32Array;
}

function axesOf(candidates: readonly Candidate[]): Axis[] {
  const names = [...new Set(candidates.flatMap(({ parameters }) => Object.keys(parameters)))];
  return names.map((name) => {
    // Parts of a space may have different parameters; a missing one counts as a value of its own.
    const own = candidates.map(({ parameters }): ParameterValue => parameters[name] ?? "");
    const isOrdered = own.every((value) => typeof value === "number");
    const values = [...new Set(own)];
    if (isOrdered) values.sort((a, b) => Number(a) - Number(b));
    return {
      numValues: values.length,
      isOrdered,
      indexOf: Int32Array.from(own, (value) => values.indexOf(value)),
    };
  });
}

/** Probability of each value of an axis among the chosen candidates, smoothed by the prior. */
function density(axis: Axis, chosen: readonly number[]): Float64Array {
  const n = axis.numValues;
  const weights = new Float64Array(n).fill(PRIOR / n);
  // The kernel is wide while little is known, and never narrower than one step.
  const width = Math.max(0.6, n / 2 / Math.sqrt(1 + chosen.length));
  for (const candidate of chosen) {
    const at = axis.indexOf[candidate]!;
    if (!axis.isOrdered) {
      weights[at]!++;
      continue;
    }
    const kernel = Float64Array.from({ length: n }, (_, i) => Math.exp(-(((i - at) / width) ** 2) / 2));
    const sum = kernel.reduce((a, b) => a + b, 0);
    for (let i = 0; i < n; i++) weights[i] = weights[i]! + kernel[i]! / sum;
  }
  return weights.map((weight) => weight / (chosen.length + PRIOR));
}

export function treeParzen(candidates: readonly Candidate[], settings: TpeSettings): Strategy {
  const { startup, batch, chunks, seed } = settings;
  const runs = Math.min(settings.runs, candidates.length);
  const axes = axesOf(candidates);
  const positions = new Map(candidates.map((candidate, i) => [candidate, i]));
  const first = randomSearch(candidates, chunks, Math.min(startup, runs), seed).trials(() => undefined);

  /** Batches computed before, by the scores they follow from. */
  const known = new Map<string, readonly Trial[]>();
  const next = (before: readonly Trial[], scores: readonly number[]): readonly Trial[] => {
    const key = scores.join();
    const batch = known.get(key) ?? propose(before, scores);
    known.set(key, batch);
    return batch;
  };

  /** The next batch after these trials with these scores. */
  function propose(before: readonly Trial[], scores: readonly number[]): Trial[] {
    const ranked = before
      .map(({ candidate }, i) => ({ at: positions.get(candidate)!, score: scores[i]! }))
      .sort((a, b) => (a.score === b.score ? 0 : a.score - b.score))
      .map(({ at }) => at);
    const numGood = Math.max(2, Math.ceil(GOOD_SHARE * ranked.length));
    const good = axes.map((axis) => density(axis, ranked.slice(0, numGood)));
    const rest = axes.map((axis) => density(axis, ranked.slice(numGood)));
    const used = new Set(ranked);
    const pool = candidates.flatMap((_, at) => {
      if (used.has(at)) return [];
      const log = (densities: readonly Float64Array[]): number =>
        axes.reduce((sum, axis, i) => sum + Math.log(densities[i]![axis.indexOf[at]!]!), 0);
      const own = log(good);
      return [{ at, own, ratio: own - log(rest) }];
    });
    const draws = new Draws(seed, 1 + before.length);
    const chosen: Trial[] = [];
    while (chosen.length < Math.min(batch, runs - before.length) && pool.length > 0) {
      const drawn = pool
        .map((entry) => ({ entry, key: entry.own + draws.gumbel() }))
        .sort((a, b) => b.key - a.key)
        .slice(0, DRAWN);
      const best = drawn.reduce((a, b) => (b.entry.ratio > a.entry.ratio ? b : a)).entry;
      pool.splice(pool.indexOf(best), 1);
      chosen.push({ candidate: candidates[best.at]!, chunks });
    }
    return chosen;
  }

  return {
    limit: runs,
    trials(scores: Scores) {
      const all = [...first];
      while (all.length < runs) {
        const own = all.map(scores);
        if (own.includes(undefined)) break;
        const following = next(all, own as number[]);
        if (following.length === 0) break;
        all.push(...following);
      }
      return all;
    },
  };
}
