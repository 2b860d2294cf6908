/** @file One number that a sweep makes small. */
import type { Objective } from "./space-schema.ts";

/** Figures of a run that an objective may use; null where a run gave none. */
export interface Figures {
  readonly bitsPerValue: number;
  readonly kldMean: number;
  readonly kldP99: number;
  readonly kldP999: number;
  readonly pplRatio: number;
}

/** A KLD of nothing would have an infinite logarithm. */
const SMALLEST_KLD = 1e-9;
/** What a limit overstepped costs, beyond every figure within. */
const BEYOND = 1e6;

/**
 * Bits a value at the quality of a mean KLD of 1 nat.
 *
 * A bit more divides the squared error of a code by about 4 and with it the KLD (Zador; quality falls 6 dB a bit), so
 * bits + log₄ KLD compares formats of different sizes: 0.5 less is the same quality in half a bit less.
 */
export function rateOf(figures: Pick<Figures, "bitsPerValue" | "kldMean">): number {
  return figures.bitsPerValue + Math.log2(Math.max(figures.kldMean, SMALLEST_KLD)) / 2;
}

/** Smaller is better; a run that failed is Infinity. */
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

/** Whether a score is that of a run within all limits. */
export const isWithinLimits = (score: number): boolean => score < BEYOND / 2;
