/**
 * @file Successive halving (Jamieson and Talwalkar, AISTATS 2016): many configurations on little text, then one in `eta` of
 * them on `eta` times as much, and so on.
 */
import type { Candidate } from "../candidates.ts";
import { Draws } from "./draws.ts";
import type { Scores, Strategy, Trial } from "./strategy.ts";

export interface HalvingSettings {
  readonly eta: number;
  readonly firstChunks: number;
  /** Chunks of the last round. */
  readonly chunks: number;
  /** The most runs of all rounds together. */
  readonly runs: number;
  readonly seed: number;
}

interface Round {
  readonly chunks: number;
  readonly size: number;
}

/** The rounds that start with `n` configurations; the last one has all chunks. */
function roundsOf(n: number, { eta, firstChunks, chunks }: HalvingSettings): Round[] {
  const rounds: Round[] = [];
  let size = n;
  let own = Math.min(firstChunks, chunks);
  for (;;) {
    rounds.push({ chunks: own, size });
    if (own >= chunks || size <= 1) return rounds;
    size = Math.max(1, Math.floor(size / eta));
    own = size === 1 ? chunks : Math.min(chunks, own * eta);
  }
}

const total = (rounds: readonly Round[]): number => rounds.reduce((sum, { size }) => sum + size, 0);

export function successiveHalving(candidates: readonly Candidate[], settings: HalvingSettings): Strategy {
  let start = candidates.length;
  while (start > 1 && total(roundsOf(start, settings)) > settings.runs) start--;
  const rounds = roundsOf(start, settings);
  const order = new Draws(settings.seed).shuffled(candidates);
  return {
    limit: total(rounds),
    trials(scores: Scores) {
      const all: Trial[] = [];
      let field = order.slice(0, start);
      for (const { chunks, size } of rounds) {
        // Sorting is stable, so ties keep the order in which they were drawn.
        field = field.slice(0, size);
        const round = field.map((candidate) => ({ candidate, chunks }));
        all.push(...round);
        const known = round.map(scores);
        if (known.includes(undefined)) break;
        field = round
          .map(({ candidate }, i) => ({ candidate, score: known[i]! }))
          .sort((a, b) => (a.score === b.score ? 0 : a.score - b.score))
          .map(({ candidate }) => candidate);
      }
      return all;
    },
  };
}
