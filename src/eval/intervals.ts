/** @file 95 % intervals for printed figures: rates (Wilson), and means of values that are correlated along a text. */
import { TurboQuantError } from "../errors.ts";
import { mean } from "./divergence.ts";

/** Quantile of the standard normal distribution for a two-sided 95 % interval. */
const Z95 = 1.959963984540054;

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * Wilson's score interval of a rate (E. B. Wilson, JASA 1927). It stays within [0, 1] and has a width even for 0 of n or n of
 * n, where the textbook interval claims certainty.
 *
 * hits: from 0 to trials · trials: at least 1
 */
export function wilson(hits: number, trials: number, z = Z95): Interval {
  if (!(trials >= 1 && hits >= 0 && hits <= trials)) {
    throw new TurboQuantError("internal", `wilson: expected 0 to ${trials} hits of at least one trial, got ${hits}`);
  }
  const p = hits / trials;
  const z2 = (z * z) / trials;
  const center = (p + z2 / 2) / (1 + z2);
  const half = (z / (1 + z2)) * Math.sqrt((p * (1 - p)) / trials + z2 / (4 * trials));
  // For 0 of n and n of n the bound is exactly 0 or 1, without rounding error.
  return { low: hits === 0 ? 0 : center - half, high: hits === trials ? 1 : center + half };
}

/** Number of consecutive positions that count as one observation, because errors of neighbouring tokens are not independent. */
const BATCH = 64;

/**
 * Standard error of a mean by batch means: from the spread of the means of runs of 64 values. NaN for fewer than two runs.
 *
 * values: in the order of the text; a last run of less than half the length is left out
 */
export function batchStandardError(values: ArrayLike<number>): number {
  const all = Float64Array.from(values);
  const means: number[] = [];
  for (let at = 0; at + BATCH / 2 <= all.length; at += BATCH) means.push(mean(all.subarray(at, at + BATCH)));
  if (means.length < 2) return Number.NaN;
  const center = mean(means);
  const squares = means.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return Math.sqrt(squares / (means.length - 1) / means.length);
}
