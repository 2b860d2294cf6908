/** @file The score of a run, which a sweep tries to make small. */
import type { Objective } from "./space-schema.ts";

/** Figures of a run that an objective may use; null where the run has none. */
export interface Figures {
  readonly bitsPerValue: number;
  readonly kldMean: number;
  readonly kldP99: number;
  readonly kldP999: number;
  readonly pplRatio: number;
}

/** Lower bound of a KLD in the score, since the logarithm of 0 is infinite. */
const SMALLEST_KLD = 1e-9;
/** Penalty for exceeding a limit, larger than any score within the limits. */
const BEYOND = 1e6;

/**
 * Bits a value that would give a mean KLD of 1 nat.
 *
 * One more bit divides the squared error of a code by about 4, and the KLD with it (Zador; quality falls 6 dB a bit). So bits +
 * log₄ KLD compares formats of different sizes: 0.5 less means the same quality with half a bit less.
 */
export function rateOf(figures: Pick<Figures, "bitsPerValue" | "kldMean">): number {
  return figures.bitsPerValue + Math.log2(Math.max(figures.kldMean, SMALLEST_KLD)) / 2;
}

/** Smaller is better; a failed run gets Infinity. */
export function scoreOf(objective: Objective, figures: Figures): number {
  const value = objective.minimize === "rate" ? rateOf(figures) : figures[objective.minimize];
  if (!Number.isFinite(value)) return Number.POSITIVE_INFINITY;
  const limits = [
    [objective.maxBits, figures.bitsPerValue],
    [objective.maxKld, figures.kldMean],
    [objective.maxPplRatio, figures.pplRatio],
  ] as const;
  const excess = limits.reduce(
    (sum, [limit, got]) => sum + (limit !== undefined && limit !== null && got > limit ? got / limit : 0),
    0,
  );
  return excess > 0 ? BEYOND * excess + value : value;
}

/** Whether this is the score of a run within all limits. */
export const isWithinLimits = (score: number): boolean => score < BEYOND / 2;
