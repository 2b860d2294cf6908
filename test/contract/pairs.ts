/** @file Few cases out of many factors: any two levels of any two factors meet in at least one of them. */
import { CounterRng } from "../../src/math/rng.ts";

type Factors = Readonly<Record<string, readonly unknown[]>>;
export type Choice<F extends Factors> = { readonly [Name in keyof F]: F[Name][number] };

/** Candidates of which the one that covers most is taken. */
const CANDIDATES = 12;

/** The same factors give the same cases. */
export function pairwise<F extends Factors>(factors: F, seed = 1): Choice<F>[] {
  const names = Object.keys(factors);
  const sizes = names.map((name) => factors[name]!.length);
  const key = (a: number, x: number, b: number, y: number): string => `${a}:${x} ${b}:${y}`;
  const missing = new Map<string, readonly [number, number, number, number]>();
  for (let a = 0; a < names.length; a++) {
    for (let b = a + 1; b < names.length; b++) {
      for (let x = 0; x < sizes[a]!; x++)
        for (let y = 0; y < sizes[b]!; y++) missing.set(key(a, x, b, y), [a, x, b, y]);
    }
  }
  const pairsOf = (levels: readonly number[]): string[] =>
    levels.flatMap((x, a) => levels.slice(a + 1).map((y, after) => key(a, x, a + 1 + after, y)));
  const rng = new CounterRng(seed, 0x9a15);
  let drawn = 0;
  const chosen: number[][] = [];
  for (const [a, x, b, y] of missing.values()) {
    if (!missing.has(key(a, x, b, y))) continue;
    let best: { levels: number[]; covered: string[] } | null = null;
    for (let n = 0; n < CANDIDATES; n++) {
      const levels = sizes.map((size) => rng.uint32(drawn++) % size);
      levels[a] = x;
      levels[b] = y;
      const covered = pairsOf(levels).filter((pair) => missing.has(pair));
      if (!best || covered.length > best.covered.length) best = { levels, covered };
    }
    for (const pair of best!.covered) missing.delete(pair);
    chosen.push(best!.levels);
  }
  return chosen.map(
    (levels) => Object.fromEntries(levels.map((level, i) => [names[i], factors[names[i]!]![level]])) as Choice<F>,
  );
}
