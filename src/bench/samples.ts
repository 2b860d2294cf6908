/** @file Summary of repeated measurements. */
import { mean, quantile } from "../eval/divergence.ts";

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  /** Sample standard deviation; 0 for one value. */
  readonly sd: number;
  /** Interquartile range over the median. */
  readonly spread: number;
}

export function summarize(samples: readonly number[]): Summary {
  const sorted = Float64Array.from(samples).sort();
  const average = mean(sorted);
  let squares = 0;
  for (const value of sorted) squares += (value - average) ** 2;
  const median = quantile(sorted, 0.5);
  return {
    median,
    min: sorted[0] ?? Number.NaN,
    max: sorted.at(-1) ?? Number.NaN,
    mean: average,
    sd: sorted.length > 1 ? Math.sqrt(squares / (sorted.length - 1)) : 0,
    spread: (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / median,
  };
}

/**
 * Takes `repeats` samples of every subject in turns (A, B, A, B, …), so that a slow moment of the machine affects all of them.
 * returns: samples by subject
 */
export async function interleave<T>(
  subjects: readonly T[],
  repeats: number,
  sample: (subject: T, index: number) => Promise<number>,
  onSample?: (done: number, total: number) => void,
): Promise<number[][]> {
  const samples = subjects.map((): number[] => []);
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const [index, subject] of subjects.entries()) {
      samples[index]!.push(await sample(subject, index));
      onSample?.(repeat * subjects.length + index + 1, repeats * subjects.length);
    }
  }
  return samples;
}
