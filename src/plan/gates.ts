/**
 * @file The gates that a cache format must pass on a model, and how noisy evidence is judged.
 *
 * A format passes when the whole interval of every criterion is on the good side of its limit, fails when one interval is
 * entirely on the bad side, and is open otherwise. Intervals are 99 % because they are checked again after every chunk.
 */

export type GateName = "intact" | "usable";

export interface Gate {
  /** The highest perplexity relative to the exact cache. */
  readonly pplRatio: number;
  /** The highest mean KL divergence in nats. */
  readonly kldMean: number;
  /** The lowest share of positions with the same most likely token. */
  readonly top1: number;
  /**
   * The highest p99.9 of the divergence in nats: `ratio` times that of 8
   * bits on both sides, or `floor` if that is more; null for no limit.
   */
  readonly tail: { readonly ratio: number; readonly floor: number } | null;
  /** The highest share of recall prompts that the exact cache answers and the format does not. */
  readonly needleLoss: number;
}

/**
 * Keeping an exact cache in bf16 instead of f16 gives a p99.9 of 0.023 nats on a 27B model. Tails below three times that go
 * unnoticed, even where 8 bits come much closer because everything else is computed in f32.
 */
const TAIL = { ratio: 3, floor: 0.07 } as const;

export const GATES: Readonly<Record<GateName, Gate>> = {
  intact: { pplRatio: 1.01, kldMean: 0.01, top1: 0.97, tail: TAIL, needleLoss: 0.025 },
  usable: { pplRatio: 1.03, kldMean: 0.03, top1: 0.94, tail: null, needleLoss: 0.05 },
};

/** The evaluation of one format on one chunk of a text; the fields are those of `EvalRow`. */
export interface ChunkEvidence {
  readonly pplRatio: number;
  readonly pplRatioSe: number;
  readonly kldMean: number;
  /** NaN when unknown. */
  readonly kldMeanSe: number;
  readonly kldP999: number;
  readonly top1: number;
  readonly tokens: number;
  /** The same figures of equal parts of the chunk, where they are known. */
  readonly segments?: readonly Segment[];
}

/** A stretch of a chunk: what it says of other texts is told from the spread between such stretches. */
export interface Segment {
  /** Natural log of the ratio of perplexities. */
  readonly logRatio: number;
  readonly kldMean: number;
  readonly top1: number;
}

export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

export type Verdict = "pass" | "fail" | "open";

export interface Criterion {
  readonly name: "PPL ratio" | "KLD mean" | "top-1" | "KLD p99.9";
  readonly estimate: Estimate;
  readonly threshold: number;
  readonly verdict: Verdict;
  /** Whether the estimate itself is within the threshold, however uncertain it is. */
  readonly isMet: boolean;
}

/** Number of chunks from which on their spread allows a statement about other chunks. */
export const MIN_CHUNKS = 3;
/** Share of codes among what attention read; figures of less are those of sinks and window, and say little about a format. */
export const MIN_CODES_READ = 0.5;
/** Quantile of the standard normal distribution for a two-sided 99 % interval. */
const Z99 = 2.5758;
/** Student's t for the same interval with 2, 3, … degrees of freedom; from 20 on the normal distribution is within 11 %. */
const T99 = [
  9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.25, 3.169, 3.106, 3.055, 3.012, 2.977, 2.947, 2.921, 2.898, 2.878,
  2.861, 2.845,
];
/** With too few chunks to know their spread, the error that the chunks state themselves is multiplied by this. */
const FEW_CHUNKS_FACTOR = 2;

/**
 * Mean over chunks with its 99 % interval: the wider of the one from the spread between chunks (Student's t) and the one from
 * the errors that the chunks state themselves.
 *
 * errors: standard errors within each chunk, NaN when unknown
 */
export function estimate(values: readonly number[], errors: readonly number[]): Estimate {
  const n = values.length;
  const value = values.reduce((sum, v) => sum + v, 0) / n;
  const within = Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0)) / n;
  let half: number;
  if (n < MIN_CHUNKS) half = Number.isNaN(within) ? Number.POSITIVE_INFINITY : FEW_CHUNKS_FACTOR * Z99 * within;
  else {
    const squares = values.reduce((sum, v) => sum + (v - value) ** 2, 0);
    const between = Math.sqrt(squares / (n - 1) / n) * (T99[n - 3] ?? T99.at(-1)!);
    half = Math.max(between, Number.isNaN(within) ? 0 : Z99 * within);
  }
  return { value, low: value - half, high: value + half };
}

/**
 * The criteria of a gate for the evidence of some chunks.
 *
 * tails: p99.9 of the reference format on the same chunks, as far as they are known
 */
export function judge(
  gate: Gate,
  chunks: readonly ChunkEvidence[],
  tails: readonly (number | undefined)[] = [],
): Criterion[] {
  const of = (
    value: (chunk: ChunkEvidence) => number,
    error: (chunk: ChunkEvidence) => number,
    ofSegment: (segment: Segment) => number,
  ): Estimate => {
    const segments = chunks.flatMap((chunk) => chunk.segments ?? []);
    const hasAll = chunks.every((chunk) => chunk.segments);
    if (!hasAll || segments.length < MIN_CHUNKS) return estimate(chunks.map(value), chunks.map(error));
    return widened(
      estimate(
        segments.map(ofSegment),
        segments.map(() => Number.NaN),
      ),
      chunks.map(error),
    );
  };
  const exp = ({ value, low, high }: Estimate): Estimate => ({
    value: Math.exp(value),
    low: Math.exp(low),
    high: Math.exp(high),
  });
  const ratio = exp(
    of(
      ({ pplRatio }) => Math.log(pplRatio),
      ({ pplRatio, pplRatioSe }) => pplRatioSe / pplRatio,
      ({ logRatio }) => logRatio,
    ),
  );
  const kld = of(
    ({ kldMean }) => kldMean,
    ({ kldMeanSe }) => kldMeanSe,
    ({ kldMean }) => kldMean,
  );
  // One more position counts as different, so that no sample gives certainty.
  const top1 = of(
    ({ top1 }) => top1,
    ({ top1, tokens }) => {
      const p = Math.min(top1, (tokens - 1) / tokens);
      return Math.sqrt((p * (1 - p)) / tokens);
    },
    ({ top1 }) => top1,
  );
  const criteria = [
    atMost("PPL ratio", ratio, gate.pplRatio),
    atMost("KLD mean", { ...kld, low: Math.max(0, kld.low) }, gate.kldMean),
    atLeast("top-1", { ...top1, low: Math.max(0, top1.low), high: Math.min(1, top1.high) }, gate.top1),
  ];
  if (gate.tail) {
    const { ratio: times, floor } = gate.tail;
    const logs = chunks.map(({ kldP999 }) => Math.log(Math.max(kldP999, Number.MIN_VALUE)));
    const limits = chunks.map((_, i) => Math.log(Math.max(floor, times * (tails[i] ?? 0))));
    const unknown = chunks.map(() => Number.NaN);
    // The limit differs from chunk to chunk, so the excess over it is judged; the reported figure is the tail itself.
    const over = estimate(
      logs.map((log, i) => log - limits[i]!),
      unknown,
    );
    const verdict = over.high <= 0 ? "pass" : over.low > 0 ? "fail" : "open";
    const threshold = Math.exp(limits.reduce((sum, limit) => sum + limit, 0) / limits.length);
    const isMet = over.value <= 0;
    criteria.push({ name: "KLD p99.9", estimate: exp(estimate(logs, unknown)), threshold, verdict, isMet });
  }
  return criteria;
}

/** The interval, or the one that the chunks state themselves if that is wider. */
function widened({ value, low, high }: Estimate, errors: readonly number[]): Estimate {
  const stated = (Z99 * Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0))) / errors.length;
  const half = Math.max(high - value, Number.isNaN(stated) ? 0 : stated);
  return { value, low: Math.min(low, value - half), high: value + half };
}

function atMost(name: Criterion["name"], estimate: Estimate, threshold: number): Criterion {
  const verdict = estimate.high <= threshold ? "pass" : estimate.low > threshold ? "fail" : "open";
  return { name, estimate, threshold, verdict, isMet: estimate.value <= threshold };
}

function atLeast(name: Criterion["name"], estimate: Estimate, threshold: number): Criterion {
  const verdict = estimate.low >= threshold ? "pass" : estimate.high < threshold ? "fail" : "open";
  return { name, estimate, threshold, verdict, isMet: estimate.value >= threshold };
}

/** One failed criterion is a failure; a pass needs all criteria. */
export function verdictOf(criteria: readonly Criterion[]): Verdict {
  if (criteria.some(({ verdict }) => verdict === "fail")) return "fail";
  return criteria.every(({ verdict }) => verdict === "pass") ? "pass" : "open";
}
