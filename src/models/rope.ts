/**
 * @file Rotary position embedding: frequencies and their published scalings.
 *
 * Sources: RoFormer (arXiv 2104.09864); linear interpolation (arXiv 2306.15595); NTK-aware and YaRN (arXiv 2309.00071); the
 * Llama 3.1 report (arXiv 2407.21783); LongRoPE (arXiv 2402.13753). Parameters are named as in Transformers' config.json.
 */
import type { Rope } from "../backends/ops.ts";
import type { QueryGrowth } from "../backends/query-growth.ts";

export type RopeConfig = Scaling & {
  /** Coordinates of a head that are turned, the first ones; absent: all. */
  readonly rotaryDim?: number;
  /** What the exponents of frequencies are divided by; absent: as many as are turned. */
  readonly exponentDim?: number;
  /** Whether pairs are turned the other way (nanochat). */
  readonly isReversed?: boolean;
  /** Absent: queries do not grow with their position. */
  readonly queryGrowth?: QueryGrowth;
};

type Scaling =
  /** Nothing is turned. */
  | { readonly type: "none" }
  | { readonly type: "default"; readonly theta: number }
  /** The pairs of the first `fraction` of a head are turned as those of a whole head are, and the others are not. */
  | { readonly type: "proportional"; readonly theta: number; readonly fraction: number; readonly factor: number }
  | { readonly type: "linear"; readonly theta: number; readonly factor: number }
  | {
      readonly type: "dynamic";
      readonly theta: number;
      readonly factor: number;
      /** Context length of training; the rotary base grows when a sequence gets longer. */
      readonly originalMaxPosition: number;
    }
  /** theta · alpha^(d / (d − 2)) at any length, d of the coordinates that are turned (Hunyuan). */
  | { readonly type: "ntk"; readonly theta: number; readonly alpha: number }
  | {
      readonly type: "yarn";
      readonly theta: number;
      readonly factor: number;
      readonly originalMaxPosition: number;
      /**
       * A pair with more than `betaFast` rotations within the original context
       * is not scaled; one with fewer than `betaSlow` is interpolated fully.
       */
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Factor on cos and sin. */
      readonly attentionFactor: number;
      /** Whether the two borders of the ramp are rounded to whole pairs. */
      readonly truncate: boolean;
    }
  | {
      readonly type: "llama3";
      readonly theta: number;
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPosition: number;
    }
  /** Frequencies divided one by one, as GGUF files store the outcome of Llama 3's rule. divisors: [headDim / 2] */
  | { readonly type: "divisors"; readonly theta: number; readonly divisors: readonly number[] }
  | {
      readonly type: "longrope";
      readonly theta: number;
      /** Divisors of the frequencies, one a pair: of sequences up to the length of training, and of longer ones. */
      readonly shortFactor: readonly number[];
      readonly longFactor: readonly number[];
      readonly originalMaxPosition: number;
      /** Factor on cos and sin. */
      readonly attentionFactor: number;
      /** The same of sequences beyond the length of training; absent: attentionFactor. */
      readonly longAttentionFactor?: number;
    };

/** Coordinates of a head that are turned. */
export const rotaryDimOf = (rope: RopeConfig, headDim: number): number => rope.rotaryDim ?? headDim;

/** A rope, and the sequence lengths for which it is valid: those after `beyond`, up to `upTo`. Most scalings hold for all. */
export interface RopeUpTo {
  readonly rope: Rope;
  readonly beyond: number;
  readonly upTo: number;
}

/** A rope of heads. */
export interface HeadRope {
  readonly headDim: number;
  readonly rope: RopeConfig;
  /** The width that heads have where they are turned, with zeros behind each half; absent: headDim. */
  readonly storedDim?: number;
}

/**
 * seqLen: longest position + 1 of the sequence so far; only dynamic scaling and LongRoPE depend on it
 * returns: invFreq [storedDim / 2] f64 in radians a token, 0 for pairs that are not turned
 */
export function ropeFor({ headDim, rope, storedDim = headDim }: HeadRope, seqLen: number): RopeUpTo {
  const dim = rotaryDimOf(rope, headDim);
  const fixed = (invFreq: Float64Array, attentionFactor = 1, upTo = Infinity, beyond = -1) => ({
    rope: {
      invFreq: padded(rope.isReversed ? invFreq.map((f) => -f) : invFreq, storedDim / 2),
      attentionFactor,
      ...(rope.queryGrowth && { queryGrowth: rope.queryGrowth }),
    },
    beyond,
    upTo,
  });
  if (rope.type === "none") return fixed(new Float64Array(0));
  const plain = inverseFrequencies(rope.theta, dim, rope.exponentDim);
  switch (rope.type) {
    case "default":
      return fixed(plain);
    case "linear":
      return fixed(plain.map((f) => f / rope.factor));
    case "proportional": {
      const turned = Math.floor((headDim * rope.fraction) / 2);
      return fixed(plain.map((f, pair) => (pair < turned ? f / rope.factor : 0)));
    }
    case "ntk":
      return fixed(inverseFrequencies(rope.theta * rope.alpha ** (dim / (dim - 2)), dim));
    case "dynamic": {
      const length = Math.max(seqLen, rope.originalMaxPosition);
      // The exponent d / (d − 2) makes the slowest pair turn as far at `length` as it did at the length of training.
      const growth = (rope.factor * length) / rope.originalMaxPosition - (rope.factor - 1);
      // Sequences within the length of training have its frequencies again after longer ones.
      const beyond = seqLen > rope.originalMaxPosition ? rope.originalMaxPosition : -1;
      return fixed(inverseFrequencies(rope.theta * growth ** (dim / (dim - 2)), dim), 1, length, beyond);
    }
    case "yarn":
      return fixed(yarn(plain, rope), rope.attentionFactor);
    case "divisors":
      return fixed(plain.map((f, pair) => f / rope.divisors[pair]!));
    case "llama3":
      return fixed(plain.map((f) => llama3(f, rope)));
    case "longrope": {
      const isLong = seqLen > rope.originalMaxPosition;
      const factors = isLong ? rope.longFactor : rope.shortFactor;
      const [beyond, upTo] = isLong ? [rope.originalMaxPosition, Infinity] : [-1, rope.originalMaxPosition];
      return fixed(
        plain.map((f, pair) => f / factors[pair]!),
        (isLong ? rope.longAttentionFactor : undefined) ?? rope.attentionFactor,
        upTo,
        beyond,
      );
    }
  }
}

/** The shortest length with the frequencies of `length`; 0 where they do not depend on it. */
export function ropeLength(rope: RopeConfig, length: number): number {
  const isGrown = (rope.type === "dynamic" || rope.type === "longrope") && length > rope.originalMaxPosition;
  if (!isGrown) return 0;
  return rope.type === "dynamic" ? length : rope.originalMaxPosition + 1;
}

function inverseFrequencies(theta: number, dim: number, exponentDim: number = dim): Float64Array {
  return Float64Array.from({ length: dim / 2 }, (_, pair) => theta ** ((-2 * pair) / exponentDim));
}

function padded(values: Float64Array, length: number): Float64Array {
  const all = new Float64Array(length);
  all.set(values);
  return all;
}

function yarn(plain: Float64Array, rope: Extract<RopeConfig, { type: "yarn" }>): Float64Array {
  const dim = plain.length * 2;
  /** The (fractional) index of the pair that makes `rotations` full turns within the original context. */
  const pairOf = (rotations: number) =>
    (dim * Math.log(rope.originalMaxPosition / (rotations * 2 * Math.PI))) / (2 * Math.log(rope.theta));
  const [fast, slow] = [pairOf(rope.betaFast), pairOf(rope.betaSlow)];
  const low = Math.max(rope.truncate ? Math.floor(fast) : fast, 0);
  let high = Math.min(rope.truncate ? Math.ceil(slow) : slow, dim - 1);
  // A ramp of width 0 would divide by zero.
  if (low === high) high += 0.001;
  return plain.map((f, pair) => {
    const interpolated = Math.min(Math.max((pair - low) / (high - low), 0), 1);
    return (f / rope.factor) * interpolated + f * (1 - interpolated);
  });
}

function llama3(f: number, rope: Extract<RopeConfig, { type: "llama3" }>): number {
  /** Full turns of this pair within the original context. */
  const rotations = (rope.originalMaxPosition * f) / (2 * Math.PI);
  if (rotations > rope.highFreqFactor) return f;
  if (rotations < rope.lowFreqFactor) return f / rope.factor;
  const smooth = (rotations - rope.lowFreqFactor) / (rope.highFreqFactor - rope.lowFreqFactor);
  return ((1 - smooth) * f) / rope.factor + smooth * f;
}

/** YaRN's default factor on cos and sin, a softmax temperature for a context `factor` times longer. */
export function yarnAttentionFactor(factor: number, mscale = 1): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}
