/** @file Prompts by number: the same everywhere, none like another. */
import { CounterRng } from "../../src/math/rng.ts";

const STREAM = 0x5e12;
/** Tokens of the embedded models' vocabulary that are whole pieces of text. */
const FIRST_TOKEN = 300;
const LAST_TOKEN = 4000;

/** `length` random tokens. */
export function randomTokens(seed: number, length: number): number[] {
  const rng = new CounterRng(seed, STREAM);
  return Array.from({ length }, (_, i) => FIRST_TOKEN + Math.floor(rng.uniform(i) * (LAST_TOKEN - FIRST_TOKEN)));
}

/** A number from 0 up to `below`, the i-th of a seed. */
export function draw(seed: number, i: number, below: number): number {
  return Math.floor(new CounterRng(seed, STREAM + 1).uniform(i) * below);
}

export const quantile = (values: readonly number[], q: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
};

export const median = (values: readonly number[]): number => quantile(values, 0.5);
