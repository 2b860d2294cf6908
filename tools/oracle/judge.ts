/** @file Decides whether our evaluation of a format agrees with a row of a checkpoint's oracle.json. Both use the same rotation. */

/** A row of oracle.json: bits of K and V (16: uncompressed), tokens kept exact, and what the other implementation measured. */
export interface OracleRow {
  readonly k: number;
  readonly v: number;
  readonly window: number;
  readonly sinks: number;
  readonly ppl: number;
  readonly kld?: number;
  readonly kld_p99?: number;
  readonly top1?: number;
  readonly needle: number;
}

export type Verdict = "pass" | "FAIL";

const LIMITS = { ppl: 0.005, kld: 0.15, exactPpl: 0.001 };
/**
 * The oracle stops Lloyd's iteration after 2,000 rounds from cells of equal probability. Its 7- and 8-bit codebooks then still
 * have 7 % and 50 % more distortion (headDim 64) than the optimum, so its KLD is only an upper limit.
 */
const UNCONVERGED_BITS = 7;

export function judgeExact(oracle: OracleRow, ppl: number): Verdict {
  return Math.abs(ppl / oracle.ppl - 1) <= LIMITS.exactPpl ? "pass" : "FAIL";
}

export function judge(oracle: OracleRow, ours: { readonly ppl: number; readonly kldMean: number }): Verdict {
  const kldError = ours.kldMean / (oracle.kld ?? Number.NaN) - 1;
  const isBetterCodebook = kldError < 0 && Math.min(oracle.k, oracle.v) >= UNCONVERGED_BITS;
  const agrees =
    Math.abs(ours.ppl / oracle.ppl - 1) <= LIMITS.ppl && (Math.abs(kldError) <= LIMITS.kld || isBetterCodebook);
  return agrees ? "pass" : "FAIL";
}
