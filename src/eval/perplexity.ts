/** @file Perplexity from negative log-likelihoods, and the standard error of a ratio of two perplexities over the same tokens. */
import { mean } from "./divergence.ts";

/** exp(mean NLL). nlls: in nats, one for each predicted token */
export function perplexity(nlls: ArrayLike<number>): number {
  return Math.exp(mean(nlls));
}

/**
 * PPL(other) / PPL(base) with its standard error. Differences are taken
 * token by token: both read the same text, so most of the variance cancels.
 */
export function perplexityRatio(
  base: ArrayLike<number>,
  other: ArrayLike<number>,
): { ratio: number; standardError: number } {
  const n = base.length;
  const differences = Float64Array.from({ length: n }, (_, i) => other[i]! - base[i]!);
  const center = mean(differences);
  let squares = 0;
  for (const d of differences) squares += (d - center) ** 2;
  const ratio = Math.exp(center);
  return { ratio, standardError: n > 1 ? ratio * Math.sqrt(squares / (n - 1) / n) : Number.NaN };
}
