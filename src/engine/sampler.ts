/** @file Draws the next token from logits: penalty → temperature → top-k → top-p → min-p → draw, as Transformers orders them. */
import { TurboQuantError } from "../errors.ts";
import { CounterRng } from "../math/rng.ts";
import type { SamplingParams } from "./sampling-params.ts";

export interface Sample {
  readonly token: number;
  /** Natural log of the token's probability under the model (after the repetition penalty, before temperature). */
  readonly logprob: number;
  /** The `logprobs` most likely tokens, best first. */
  readonly top?: readonly { readonly token: number; readonly logprob: number }[];
}

/** Stream of the counter RNG that sampling takes. */
const STREAM_SAMPLE = 0x5a11;

export class Sampler {
  readonly #params: SamplingParams;
  readonly #rng: CounterRng;
  #drawn = 0;

  constructor(params: SamplingParams) {
    this.#params = params;
    this.#rng = new CounterRng(params.seed, STREAM_SAMPLE);
  }

  /**
   * logits: [vocabSize], not modified · history: tokens said so far, for the repetition penalty
   * @throws TurboQuantError invalid_file — logits that are not numbers
   */
  sample(logits: Float32Array, history: ArrayLike<number>): Sample {
    const { temperature, topK, repetitionPenalty, logprobs } = this.#params;
    const scores = repetitionPenalty === 1 ? logits : penalize(logits, history, repetitionPenalty);
    const max = maximum(scores);
    const logSum = max + Math.log(sumExp(scores, max));
    const top =
      logprobs > 0 ? largest(scores, logprobs).map((token) => ({ token, logprob: scores[token]! - logSum })) : undefined;
    const token = temperature === 0 ? scores.indexOf(max) : this.#draw(scores, max, topK);
    return { token, logprob: scores[token]! - logSum, ...(top && { top }) };
  }

  #draw(scores: Float32Array, max: number, topK: number): number {
    const { temperature, topP, minP } = this.#params;
    const uniform = this.#rng.uniform(this.#drawn++);
    const isCut = topK > 0 || topP < 1 || minP > 0;
    // Without a cut nothing needs an order, which spares sorting the vocabulary.
    const candidates = isCut ? largest(scores, topK > 0 ? topK : scores.length) : null;
    const count = candidates?.length ?? scores.length;
    const weightAt = (i: number): number => Math.exp((scores[candidates ? candidates[i]! : i]! - max) / temperature);
    let kept = count;
    let total = 0;
    for (let i = 0; i < count; i++) total += weightAt(i);
    if (topP < 1) {
      let sum = 0;
      kept = 0;
      while (kept < count && sum < topP * total) sum += weightAt(kept++);
      kept = Math.max(1, kept);
    }
    if (minP > 0) {
      // The candidates are in descending order, so the likely ones come first.
      let likely = 1;
      while (likely < kept && weightAt(likely) >= minP) likely++;
      kept = likely;
    }
    if (kept < count) {
      total = 0;
      for (let i = 0; i < kept; i++) total += weightAt(i);
    }
    let rest = uniform * total;
    for (let i = 0; i < kept; i++) {
      rest -= weightAt(i);
      if (rest < 0) return candidates ? candidates[i]! : i;
    }
    return candidates ? candidates[kept - 1]! : scores.indexOf(max);
  }
}

function penalize(logits: Float32Array, history: ArrayLike<number>, penalty: number): Float32Array {
  const scores = logits.slice();
  for (const token of new Set(Array.from(history))) {
    const value = scores[token]!;
    scores[token] = value > 0 ? value / penalty : value * penalty;
  }
  return scores;
}

function maximum(scores: Float32Array): number {
  let max = Number.NEGATIVE_INFINITY;
  let isFinite = true;
  for (let i = 0; i < scores.length; i++) {
    const value = scores[i]!;
    if (value > max) max = value;
    if (value !== value) isFinite = false;
  }
  if (!isFinite || !Number.isFinite(max)) {
    throw new TurboQuantError(
      "invalid_file",
      "sampling: the logits are not finite; the weights are damaged or overflow, check the checkpoint or try --weights f32",
    );
  }
  return max;
}

function sumExp(scores: Float32Array, max: number): number {
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += Math.exp(scores[i]! - max);
  return sum;
}

/** Indices of the k largest scores, descending; equal scores in the order of the index. A heap keeps this O(n log k). */
function largest(scores: Float32Array, k: number): number[] {
  if (k >= scores.length) {
    return Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b);
  }
  // heap[0] is the worst kept: the smallest score, the larger index among equals.
  const heap: number[] = [];
  const worse = (a: number, b: number): boolean => scores[a]! < scores[b]! || (scores[a] === scores[b] && a > b);
  const sink = (at: number): void => {
    for (;;) {
      let worst = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && worse(heap[child]!, heap[worst]!)) worst = child;
      }
      if (worst === at) return;
      [heap[at], heap[worst]] = [heap[worst]!, heap[at]!];
      at = worst;
    }
  };
  for (let i = 0; i < scores.length; i++) {
    if (heap.length < k) {
      heap.push(i);
      if (heap.length === k) for (let at = (k >> 1) - 1; at >= 0; at--) sink(at);
    } else if (worse(heap[0]!, i)) {
      heap[0] = i;
      sink(0);
    }
  }
  return heap.sort((a, b) => scores[b]! - scores[a]! || a - b);
}
