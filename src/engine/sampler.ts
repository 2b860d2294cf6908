/**
 * @file Draws the next token from logits. The order is that of Transformers: bias, penalties, temperature, top-k, top-p, min-p, draw.
 */
import type { Draw } from "../backends/sampling-ops.ts";
import { TurboQuantError } from "../errors.ts";
import { CounterRng } from "../math/rng.ts";
import { argmax, checkFinite, logSumExp } from "./logits.ts";
import type { SamplingConfig } from "./sampling-params.ts";
import { topIndices } from "./top-indices.ts";

export interface Sample {
  readonly token: number;
  /**
   * Natural log of the token's probability under the model, after bias and penalties and before temperature. Absent when it was
   * not requested, since it takes an exponential for every token of the vocabulary.
   */
  readonly logprob?: number;
  /** The `logprobs` most likely tokens, best first. */
  readonly top?: readonly { readonly token: number; readonly logprob: number }[];
}

/** The part of a config that a device needs to draw tokens; null when the logits have to be read by the host. */
export function deviceDraw(config: SamplingConfig): Draw | null {
  const { repetitionPenalty, frequencyPenalty, presencePenalty, logitBias, logprobs, constraint } = config;
  const asIs = repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0 && logitBias.length === 0;
  return asIs && logprobs === 0 && constraint === null ? config : null;
}

/** Stream of the counter-based RNG used for sampling. */
const STREAM_SAMPLE = 0x5a11;
/** Number of candidates to sort first for top-p and min-p; a trained model rarely needs more. */
const FIRST_CANDIDATES = 256;

export class Sampler {
  readonly #config: SamplingConfig;
  readonly #rng: CounterRng;
  #drawn = 0;
  /** How often each token has been drawn for this answer. */
  readonly #counts = new Map<number, number>();

  constructor(config: SamplingConfig) {
    this.#config = config;
    this.#rng = new CounterRng(config.seed, STREAM_SAMPLE);
    for (const token of config.drawnBefore) this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
  }

  /**
   * Draws a token. The n-th call uses the n-th number of the seed's stream. Of equal logits the lowest token wins.
   *
   * logits: [vocabSize], not modified · history: tokens of prompt and output so far, for the repetition penalty
   * @throws TurboQuantError invalid_file — logits that are not finite; invalid_argument — a constraint that allows no token
   */
  sample(logits: Float32Array, history: ArrayLike<number>): Sample {
    const { temperature, logprobs, constraint, wantsLogprob } = this.#config;
    checkFinite(logits);
    let scores = this.#score(logits, history);
    if (constraint) {
      if (scores === logits) scores = logits.slice();
      constraint.mask(scores);
    }
    const best = argmax(scores);
    const max = scores[best]!;
    if (max === Number.NEGATIVE_INFINITY) {
      throw new TurboQuantError(
        "invalid_argument",
        "constraint: it allows no token here; let it allow an end-of-sequence token",
      );
    }
    const token = temperature === 0 ? best : drawToken(scores, max, this.#config, this.uniform(this.#drawn++));
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
    if (!wantsLogprob && logprobs === 0) return { token };
    const logSum = logSumExp(scores, max);
    const logprobOf = (token: number): number => scores[token]! - logSum;
    const logprob = logprobOf(token);
    if (logprobs === 0) return { token, logprob };
    return {
      token,
      logprob,
      top: topIndices(scores, logprobs)
        .filter((t) => scores[t]! > Number.NEGATIVE_INFINITY)
        .map((t) => ({ token: t, logprob: logprobOf(t) })),
    };
  }

  /** The logits with bias and penalties; the given array itself when there are none. */
  #score(logits: Float32Array, history: ArrayLike<number>): Float32Array {
    const { repetitionPenalty, frequencyPenalty, presencePenalty, logitBias } = this.#config;
    let scores = logits;
    if (logitBias.length > 0) {
      scores = logits.slice();
      for (const [token, bias] of logitBias) if (token < scores.length) scores[token] = scores[token]! + bias;
    }
    if (repetitionPenalty !== 1) scores = penalize(scores, history, repetitionPenalty);
    if (frequencyPenalty === 0 && presencePenalty === 0) return scores;
    if (scores === logits) scores = logits.slice();
    for (const [token, count] of this.#counts) {
      scores[token] = scores[token]! - frequencyPenalty * count - presencePenalty;
    }
    return scores;
  }

  /** The random number for the n-th draw, for drawing on the device. */
  uniform(n: number): number {
    return this.#rng.uniform(this.#config.drawnBefore.length + n);
  }
}

/**
 * The token for a uniform number in [0, 1).
 *
 * scores: [vocabSize], finite · max: the largest of them
 */
export function drawToken(scores: Float32Array, max: number, draw: Draw, uniform: number): number {
  const { temperature, topK, topP, minP } = draw;
  // Weights are relative to the most likely token, whose weight is 1.
  const weigh = (score: number): number => Math.exp((score - max) / temperature);
  if (topK === 0 && topP === 1 && minP === 0) {
    // A loop, because `Float64Array.from` with a function takes several times as long as the exponentials.
    const weights = new Float64Array(scores.length);
    for (let i = 0; i < scores.length; i++) weights[i] = weigh(scores[i]!);
    return choose(weights, uniform);
  }

  // All filters keep the first few tokens in descending order. Top-p applies to the probability left after top-k.
  const limit = topK > 0 ? Math.min(topK, scores.length) : scores.length;
  let total = 0;
  if (topK === 0 && topP < 1) for (let i = 0; i < scores.length; i++) total += weigh(scores[i]!);
  for (let count = topK > 0 ? limit : Math.min(limit, FIRST_CANDIDATES); ; count = Math.min(limit, count * 8)) {
    const tokens = topIndices(scores, count);
    const weights = Float64Array.from(tokens, (token) => weigh(scores[token]!));
    if (topK > 0) total = weights.reduce((sum, weight) => sum + weight, 0);
    const kept = prefixLength(weights, topP < 1 ? topP * total : Number.POSITIVE_INFINITY, minP);
    // A cut at the last of the sorted candidates could lie further back, so it does not count.
    if (kept < count || count === limit) return tokens[choose(weights.subarray(0, kept), uniform)]!;
  }
}

/** Number of descending weights to keep: those before the sum reaches `mass`, as long as they are at least `minWeight`; at least 1. */
function prefixLength(weights: Float64Array, mass: number, minWeight: number): number {
  let sum = weights[0]!;
  let length = 1;
  while (length < weights.length && sum < mass && weights[length]! >= minWeight) sum += weights[length++]!;
  return length;
}

/** An index drawn in proportion to its weight. uniform: in [0, 1) */
function choose(weights: Float64Array, uniform: number): number {
  let total = 0;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    total += weights[i]!;
    if (weights[i]! > 0) last = i;
  }
  let rest = uniform * total;
  for (let i = 0; i < last; i++) {
    rest -= weights[i]!;
    if (rest < 0) return i;
  }
  return last;
}

function penalize(logits: Float32Array, history: ArrayLike<number>, penalty: number): Float32Array {
  const scores = logits.slice();
  for (let i = 0; i < history.length; i++) {
    const token = history[i]!;
    const value = logits[token]!;
    // The penalty is applied to the original logit, so a token that occurs twice is penalised once.
    scores[token] = value > 0 ? value / penalty : value * penalty;
  }
  return scores;
}
