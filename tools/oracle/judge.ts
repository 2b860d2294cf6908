/**
 * @file Whether our evaluation of a format agrees with a row of a checkpoint's oracle.json.
 *
 * The oracle drew other rotation signs, and two rotations of one codec differ: at 2 and 3 bits by more than 0.5 % in PPL
 * over 12,288 tokens. So a row outside the limits is not yet an error:
 *   noise       PPL is off by less than two standard errors of such a difference, and mean KLD is within its limit or its
 *               p99 is (a few tokens decide the mean)
 *   seed noise  our own rotations, at least five, spread around the oracle's value
 * A row that fits none of these fails.
 */

/** A row of oracle.json: bits of K and V (16: uncompressed), exact tokens, and what the other implementation measured. */
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

/** Our figures of one rotation, as `EvalRow` has them. */
export interface Rotation {
  readonly ppl: number;
  readonly pplRatioSe: number;
  readonly kldMean: number;
  readonly kldP99: number;
}

export type Verdict = "pass" | "noise" | "seed noise" | "FAIL";
export type Range = readonly [number, number];

const LIMITS = { ppl: 0.005, kld: 0.15, exactPpl: 0.001, standardErrors: 2 };
/** Fewer rotations do not say where a tenth one may lie. */
export const MIN_ROTATIONS = 5;
/**
 * The oracle's Lloyd iterations stop at 2,000 from a start at equal masses, when its 7- and 8-bit codebooks still have 7 %
 * and 50 % more distortion (headDim 64) than the optimum; its KLD is an upper limit there.
 */
const UNCONVERGED_BITS = 7;

export const rangeOf = (values: readonly number[]): Range => [Math.min(...values), Math.max(...values)];

/** An uncompressed cache has no noise. */
export function judgeExact(oracle: OracleRow, ppl: number): Verdict {
  return Math.abs(ppl / oracle.ppl - 1) <= LIMITS.exactPpl ? "pass" : "FAIL";
}

/** rotations: the one that is compared first, then others, if any were measured because the first disagrees */
export function judge(oracle: OracleRow, rotations: readonly [Rotation, ...Rotation[]]): Verdict {
  const [first] = rotations;
  const off = (ours: number, theirs: number | undefined): number => ours / (theirs ?? Number.NaN) - 1;
  const kldError = off(first.kldMean, oracle.kld);
  const pplError = off(first.ppl, oracle.ppl);
  const isBetterCodebook = kldError < 0 && Math.min(oracle.k, oracle.v) >= UNCONVERGED_BITS;
  const kldAgrees = Math.abs(kldError) <= LIMITS.kld || isBetterCodebook;
  const pplAgrees = Math.abs(pplError) <= LIMITS.ppl;
  if (kldAgrees && pplAgrees) return "pass";
  const kldIsNoise = kldAgrees || Math.abs(off(first.kldP99, oracle.kld_p99)) <= LIMITS.kld;
  const pplIsNoise = pplAgrees || Math.abs(pplError) <= LIMITS.standardErrors * first.pplRatioSe * Math.SQRT2;
  if (kldIsNoise && pplIsNoise) return "noise";
  if (rotations.length < MIN_ROTATIONS) return "FAIL";
  const surrounds = (value: number | undefined, of: (rotation: Rotation) => number): boolean => {
    const [low, high] = rangeOf(rotations.map(of));
    return value !== undefined && low <= value && value <= high;
  };
  const isSeedNoise =
    (pplAgrees || surrounds(oracle.ppl, (r) => r.ppl)) && (kldAgrees || surrounds(oracle.kld, (r) => r.kldMean));
  return isSeedNoise ? "seed noise" : "FAIL";
}
