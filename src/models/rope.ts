/**
 * @file Rotary position frequencies and their published scalings.
 *
 * Sources: RoFormer (arXiv 2104.09864); linear interpolation (arXiv 2306.15595); NTK-aware and YaRN (arXiv 2309.00071);
 * the Llama 3.1 report (arXiv 2407.21783). Names of the parameters as in Transformers' config.json.
 */
import type { Rope } from "../backends/ops.ts";

export type RopeConfig =
  | { readonly type: "default"; readonly theta: number }
  | { readonly type: "linear"; readonly theta: number; readonly factor: number }
  | {
      readonly type: "dynamic";
      readonly theta: number;
      readonly factor: number;
      /** Context of training; the base grows beyond it. */
      readonly originalMaxPosition: number;
    }
  | {
      readonly type: "yarn";
      readonly theta: number;
      readonly factor: number;
      readonly originalMaxPosition: number;
      /** Rotations within the original context above which a pair is left alone, and below which it is interpolated. */
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Multiplies cos and sin. */
      readonly attentionFactor: number;
      /** Round the borders of the ramp to whole pairs. */
      readonly truncate: boolean;
    }
  | {
      readonly type: "llama3";
      readonly theta: number;
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPosition: number;
    };

/** A rope and the sequence length up to which it holds (Infinity unless the scaling is dynamic). */
export interface RopeUpTo {
  readonly rope: Rope;
  readonly upTo: number;
}

/**
 * seqLen: longest position + 1 of the sequence so far; matters for dynamic scaling only
 * returns: invFreq [headDim / 2] f64 in radians a token
 */
export function ropeFor(config: { readonly headDim: number; readonly rope: RopeConfig }, seqLen: number): RopeUpTo {
  const { headDim, rope } = config;
  const plain = inverseFrequencies(rope.theta, headDim);
  const fixed = (invFreq: Float64Array, attentionFactor = 1) => ({
    rope: { invFreq, attentionFactor },
    upTo: Infinity,
  });
  switch (rope.type) {
    case "default":
      return fixed(plain);
    case "linear":
      return fixed(plain.map((f) => f / rope.factor));
    case "dynamic": {
      const length = Math.max(seqLen, rope.originalMaxPosition);
      // The exponent makes the slowest pair reach exactly as far at `length` as it did at the trained length.
      const growth = (rope.factor * length) / rope.originalMaxPosition - (rope.factor - 1);
      const theta = rope.theta * growth ** (headDim / (headDim - 2));
      return { rope: { invFreq: inverseFrequencies(theta, headDim), attentionFactor: 1 }, upTo: length };
    }
    case "yarn":
      return fixed(yarn(plain, rope), rope.attentionFactor);
    case "llama3":
      return fixed(plain.map((f) => llama3(f, rope)));
  }
}

function inverseFrequencies(theta: number, headDim: number): Float64Array {
  return Float64Array.from({ length: headDim / 2 }, (_, pair) => theta ** ((-2 * pair) / headDim));
}

function yarn(plain: Float64Array, rope: Extract<RopeConfig, { type: "yarn" }>): Float64Array {
  const headDim = plain.length * 2;
  /** The (fractional) pair that turns `rotations` times within the original context. */
  const pairOf = (rotations: number) =>
    (headDim * Math.log(rope.originalMaxPosition / (rotations * 2 * Math.PI))) / (2 * Math.log(rope.theta));
  const [fast, slow] = [pairOf(rope.betaFast), pairOf(rope.betaSlow)];
  const low = Math.max(rope.truncate ? Math.floor(fast) : fast, 0);
  let high = Math.min(rope.truncate ? Math.ceil(slow) : slow, headDim - 1);
  // A ramp of no width would divide by zero.
  if (low === high) high += 0.001;
  return plain.map((f, pair) => {
    const interpolated = Math.min(Math.max((pair - low) / (high - low), 0), 1);
    return (f / rope.factor) * interpolated + f * (1 - interpolated);
  });
}

function llama3(f: number, rope: Extract<RopeConfig, { type: "llama3" }>): number {
  /** Rotations within the original context. */
  const rotations = (rope.originalMaxPosition * f) / (2 * Math.PI);
  if (rotations > rope.highFreqFactor) return f;
  if (rotations < rope.lowFreqFactor) return f / rope.factor;
  const smooth = (rotations - rope.lowFreqFactor) / (rope.highFreqFactor - rope.lowFreqFactor);
  return ((1 - smooth) * f) / rope.factor + smooth * f;
}

/** YaRN's default for the factor on cos and sin: softmax temperature for a context `factor` times longer. */
export function yarnAttentionFactor(factor: number, mscale = 1): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}
