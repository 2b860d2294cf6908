import { describe, expect, it } from "vitest";
import type { Job } from "./job.ts";
import { planStep } from "./step-plan.ts";

/** A job with `fed` tokens in its cache, of a prompt of `prompt` and `said` generated ones. */
const job = (prompt: number, fed: number, said = 0): Job =>
  ({
    request: { ids: { length: prompt } },
    tokens: { length: prompt + said },
    sequence: { length: fed },
  }) as unknown as Job;

const counts = (jobs: readonly Job[], chunkTokens = 256, isRowInvariant = true): (readonly [number, number])[] =>
  planStep(jobs, { chunkTokens, isRowInvariant }).map((span) => [jobs.indexOf(span.job), span.count]);

describe("planStep", () => {
  it("takes one token of each that decodes and fills up with prompts in order", () => {
    expect(counts([job(100, 100, 1), job(1000, 0), job(50, 55, 6)])).toEqual([
      [0, 1],
      [2, 1],
      [1, 256],
    ]);
    expect(counts([job(100, 0), job(100, 0), job(100, 0)])).toEqual([
      [0, 100],
      [1, 100],
    ]);
    expect(counts([job(100, 0), job(100, 0), job(30, 0)])).toEqual([
      [0, 100],
      [1, 100],
      [2, 30],
    ]);
  });

  it("goes on with prompts however many decode", () => {
    const many = Array.from({ length: 300 }, () => job(10, 10, 1));
    expect(counts([...many, job(500, 0)]).at(-1)).toEqual([300, 256]);
    expect(counts([...many, job(500, 0)], 0).at(-1)).toEqual([300, 64]);
  });

  it("cuts prompts at page ends, also from a beginning that is none, and leaves no few tokens alone", () => {
    expect(counts([job(1000, 70)])).toEqual([[0, 250]]);
    expect(counts([job(258, 0)])).toEqual([[0, 258]]);
    expect(counts([job(261, 0)])).toEqual([[0, 256]]);
    expect(counts([job(130, 64)], 64)).toEqual([[0, 66]]);
  });

  it("feeds again what a preempted job had said: at once where the bits are the same, else one by one", () => {
    expect(counts([job(100, 100, 30)])).toEqual([[0, 30]]);
    expect(counts([job(100, 100, 30)], 256, false)).toEqual([[0, 1]]);
    expect(counts([job(100, 0, 30)])).toEqual([[0, 100]]);
  });
});
