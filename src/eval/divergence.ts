/**
 * @file Compares two rows of logits: KL divergence in nats, and whether the most likely token is the same.
 *
 * Logits are f32; everything computed from them is f64. Log-probabilities are differences to a log-sum-exp, so a row compared
 * with itself gives exactly 0.
 */
import { TurboQuantError } from "../errors.ts";

/** What a comparison needs of a row, computed once for any number of comparisons. */
export interface RowStats {
  /** ln Σ exp(logit). */
  readonly logSumExp: number;
  /** The most likely token; of equal logits the one with the lowest id. */
  readonly argmax: number;
}

/** row: [vocabSize] logits. @throws TurboQuantError internal — a logit is NaN or infinite */
export function rowStats(row: Float32Array): RowStats {
  let argmax = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[argmax]!) argmax = i;
  const max = row[argmax]!;
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += Math.exp(row[i]! - max);
  const logSumExp = max + Math.log(sum);
  if (!Number.isFinite(logSumExp)) {
    throw new TurboQuantError(
      "internal",
      "eval: a logit is not finite; run again with --backend reference to find out where",
    );
  }
  return { logSumExp, argmax };
}

/** The probabilities of a row, computed once for any number of divergences from it. row, out: [vocabSize] */
export function probabilities(row: Float32Array, { logSumExp }: RowStats, out: Float64Array): void {
  for (let i = 0; i < row.length; i++) out[i] = Math.exp(row[i]! - logSumExp);
}

/** KL(base ‖ other) in nats, ≥ 0 except for rounding. base, other: [vocabSize] logits · p: the base's probabilities, if they are known */
export function klDivergence(
  base: Float32Array,
  baseStats: RowStats,
  other: Float32Array,
  otherStats: RowStats,
  p?: Float64Array,
): number {
  const known = p ?? new Float64Array(base.length);
  if (!p) probabilities(base, baseStats, known);
  let sum = 0;
  for (let i = 0; i < base.length; i++) {
    sum += known[i]! * (base[i]! - baseStats.logSumExp - (other[i]! - otherStats.logSumExp));
  }
  return sum;
}

/** Summary of divergences over tokens, in nats. */
export interface DivergenceSummary {
  readonly kldMean: number;
  readonly kldMedian: number;
  readonly kldP99: number;
  readonly kldP999: number;
  readonly kldMax: number;
}

export function summarizeDivergence(klds: ArrayLike<number>): DivergenceSummary {
  const sorted = Float64Array.from(klds).sort();
  return {
    kldMean: mean(sorted),
    kldMedian: quantile(sorted, 0.5),
    kldP99: quantile(sorted, 0.99),
    kldP999: quantile(sorted, 0.999),
    kldMax: sorted.at(-1) ?? Number.NaN,
  };
}

/** Quantile q of ascending values, linear between neighbours (the default of NumPy and PyTorch). NaN for no values. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  if (sorted.length === 0) return Number.NaN;
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}
