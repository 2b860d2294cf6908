import { describe, expect, it } from "vitest";
import { type Candidate, listCandidates } from "../candidates.ts";
import { checkSpace } from "../space-schema.ts";
import { createStrategy } from "./create-strategy.ts";
import { successiveHalving } from "./halving.ts";
import type { Strategy, Trial } from "./strategy.ts";
import { treeParzen } from "./tpe.ts";

const spaceOf = (parameters: object, more: object = {}) => checkSpace({ name: "x", parameters, ...more }, "f");
const listed = new Map<string, readonly Candidate[]>();
const strategyOf = (parameters: object, more: object = {}): Strategy => {
  const space = spaceOf(parameters, more);
  const key = JSON.stringify(parameters);
  const candidates = listed.get(key) ?? listCandidates(space, "m").candidates;
  listed.set(key, candidates);
  return createStrategy(space, candidates);
};
/** 8 × 8 × 3 × 2 × 4 caches that all differ. */
const WIDE = { k: { from: 1, to: 8 }, v: { from: 1, to: 8 }, rotation: ["hadamard", "qr", "none"], search: [true, false], sinks: [0, 8, 16, 32] }; // biome-ignore format: one look
const keyOf = ({ candidate, chunks }: Trial): string => `${candidate.kv}/${chunks}`;

/** Runs a strategy to its end; `workers` trials at a time, the ones that were begun last finishing first. */
function complete(strategy: Strategy, score: (trial: Trial) => number, workers = 3) {
  const scores = new Map<string, number>();
  const order: string[] = [];
  for (;;) {
    const open = strategy.trials((trial) => scores.get(keyOf(trial))).filter((trial) => !scores.has(keyOf(trial)));
    if (open.length === 0) return { order, scores, trials: strategy.trials((trial) => scores.get(keyOf(trial))) };
    for (const trial of open.slice(0, workers).reverse()) {
      scores.set(keyOf(trial), score(trial));
      order.push(keyOf(trial));
    }
  }
}

describe("grid and random", () => {
  it("grid: all in order, or as many as the budget has", () => {
    const { trials } = complete(strategyOf({ recipe: "paper", bits: [2, 3, 4] }), () => 1);
    expect(trials.map(({ candidate }) => candidate.kv)).toEqual(["paper-2", "paper-3", "paper-4"]);
    expect(strategyOf({ bits: [2, 3, 4] }, { budget: { runs: 2 } }).limit).toBe(2);
  });

  it("random: no candidate twice, the same for the same seed, another order for another", () => {
    const draw = (seed: number) =>
      strategyOf(WIDE, { strategy: "random", seed, budget: { runs: 50 } })
        .trials(() => undefined)
        .map(keyOf);
    expect(new Set(draw(1)).size).toBe(50);
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });
});

/** A valley: K matters twice as much as V, one rotation is right, one switch hurts. Smallest at k=5, v=3. */
const valley = ({ candidate: { parameters: p } }: Trial): number =>
  2 * (Number(p["k"]) - 5) ** 2 +
  (Number(p["v"]) - 3) ** 2 +
  (p["rotation"] === "qr" ? 0 : 4) +
  (p["search"] ? 0 : 3) +
  Math.abs(Number(p["sinks"]) - 16) / 8;

describe("TPE", () => {
  const tpe = (seed: number) => strategyOf(WIDE, { strategy: "tpe", seed, budget: { runs: 60 } });

  it("comes closer to the minimum than random search: 12 seeds, 60 of 1,536 runs", () => {
    const best = (strategy: Strategy) => Math.min(...complete(strategy, valley).scores.values());
    const seeds = Array.from({ length: 12 }, (_, seed) => seed);
    const own = seeds.map((seed) => best(tpe(seed)));
    const random = seeds.map((seed) => best(strategyOf(WIDE, { strategy: "random", seed, budget: { runs: 60 } })));
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    // About 0.5 against 3.5; a proposal at random would make them equal.
    expect(mean(own)).toBeLessThan(0.5 * mean(random));
    expect(own.filter((value, i) => value < random[i]!).length).toBeGreaterThan(8);
  });

  it("the trials do not depend on the number of workers or who is faster", () => {
    const keys = (workers: number) => complete(tpe(3), valley, workers).trials.map(keyOf);
    expect(keys(1)).toEqual(keys(7));
    expect(new Set(keys(1)).size).toBe(60);
  });

  it("learns from failures, and ends when nothing is left", () => {
    const fails = (trial: Trial) =>
      trial.candidate.parameters["rotation"] === "none" ? Number.POSITIVE_INFINITY : valley(trial);
    const { trials } = complete(tpe(5), fails);
    const failed = trials.filter(({ candidate }) => candidate.parameters["rotation"] === "none").length;
    // A third of the space; a third of the random start of 12, and hardly any after.
    expect(failed).toBeLessThan(12);
    expect(complete(strategyOf({ bits: [2, 3] }, { strategy: "tpe" }), () => 1).trials).toHaveLength(2);
  });

  it("parts with different parameters share one search", () => {
    const space = checkSpace(
      { name: "x", parts: [{ name: "a", parameters: { bits: [2, 3, 4, 5] } }, { name: "b", parameters: { kv: ["q8_0", "f16"] } }] },
      "f",
    ); // biome-ignore format: one look
    const { candidates } = listCandidates(space, "m");
    const strategy = treeParzen(candidates, { startup: 3, batch: 1, chunks: 1, runs: 9, seed: 0 });
    expect(complete(strategy, () => 1).trials).toHaveLength(6);
  });
});

describe("successive halving", () => {
  const candidates = (n: number): Candidate[] =>
    listCandidates(spaceOf({ sinks: { from: 0, to: n - 1 }, bits: 4, window: 0 }), "m").candidates.slice(0, n);
  const own = (trial: Trial): number => Number(trial.candidate.parameters["sinks"]);

  it("one in three goes on, three times as long, and the best one gets to the end", () => {
    const strategy = successiveHalving(candidates(27), { eta: 3, firstChunks: 1, chunks: 27, runs: 1000, seed: 1 });
    const { trials } = complete(strategy, own);
    const rounds = new Map<number, number[]>();
    for (const trial of trials) rounds.set(trial.chunks, [...(rounds.get(trial.chunks) ?? []), own(trial)]);
    expect([...rounds].map(([chunks, of]) => [chunks, of.length])).toEqual([[1, 27], [3, 9], [9, 3], [27, 1]]); // biome-ignore format: one look
    expect(rounds.get(3)!.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(rounds.get(27)).toEqual([0]);
    expect(strategy.limit).toBe(40);
    expect(trials).toHaveLength(40);
  });

  it("stays within the budget of runs, and does not depend on the number of workers", () => {
    const make = () => successiveHalving(candidates(90), { eta: 2, firstChunks: 1, chunks: 8, runs: 30, seed: 1 });
    expect(make().limit).toBeLessThanOrEqual(30);
    expect(make().limit).toBeGreaterThan(25);
    const keys = (workers: number) => complete(make(), own, workers).trials.map(keyOf);
    expect(keys(1)).toEqual(keys(5));
  });
});
