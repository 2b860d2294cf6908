import { describe, expect, it } from "vitest";
import type { Choice } from "./request.ts";
import { StepPlanner } from "./step-plan.ts";

/** A choice with `fed` tokens in its cache, of a prompt of `prompt` and `said` generated ones. */
const choice = (prompt: number, fed: number, said = 0, client?: string): Choice =>
  ({
    request: { ids: { length: prompt }, options: { client } },
    tokens: { length: prompt + said },
    sequence: { length: fed },
  }) as unknown as Choice;

const counts = (choices: readonly Choice[], chunkTokens = 256, isRowInvariant = true): (readonly [number, number])[] =>
  new StepPlanner()
    .plan(choices, { chunkTokens, isRowInvariant })
    .map((span) => [choices.indexOf(span.choice), span.count]);

/** Clients whose prompts each of some steps reads, in their order; after each its tokens are in the caches. */
function readBy(planner: StepPlanner, choices: readonly Choice[], chunkTokens: number, numSteps: number): string[] {
  return Array.from({ length: numSteps }, () => {
    const spans = planner.plan(choices, { chunkTokens, isRowInvariant: true });
    planner.onBegin(spans);
    for (const { choice, count } of spans) (choice.sequence as unknown as { length: number }).length += count;
    return spans.map(({ choice }) => choice.request.options.client).join("");
  });
}

describe("StepPlanner", () => {
  it("takes one token of each that decodes and fills up with prompts in order", () => {
    expect(counts([choice(100, 100, 1), choice(1000, 0), choice(50, 55, 6)])).toEqual([
      [0, 1],
      [2, 1],
      [1, 256],
    ]);
    expect(counts([choice(100, 0), choice(100, 0), choice(100, 0)])).toEqual([
      [0, 100],
      [1, 100],
    ]);
    expect(counts([choice(100, 0), choice(100, 0), choice(30, 0)])).toEqual([
      [0, 100],
      [1, 100],
      [2, 30],
    ]);
  });

  it("goes on with prompts however many decode", () => {
    const many = Array.from({ length: 300 }, () => choice(10, 10, 1));
    expect(counts([...many, choice(500, 0)]).at(-1)).toEqual([300, 256]);
    expect(counts([...many, choice(500, 0)], 0).at(-1)).toEqual([300, 64]);
  });

  it("cuts prompts at page ends, also from a beginning that is none, and leaves no few tokens alone", () => {
    expect(counts([choice(1000, 70)])).toEqual([[0, 250]]);
    expect(counts([choice(258, 0)])).toEqual([[0, 258]]);
    expect(counts([choice(261, 0)])).toEqual([[0, 256]]);
    expect(counts([choice(130, 64)], 64)).toEqual([[0, 66]]);
  });

  it("shares the rows among clients, whatever the length and number of the prompts of each", () => {
    const of = (client: string, prompt: number, fed = 0): Choice => choice(prompt, fed, 0, client);
    // What a short prompt leaves of its client's part goes to the others.
    expect(counts([of("a", 9000), of("a", 9000), of("b", 30), of("c", 9000)])).toEqual([
      [0, 64],
      [2, 30],
      [3, 128],
    ]);
    expect(counts([of("a", 9000, 640), of("b", 9000)])).toEqual([
      [0, 128],
      [1, 128],
    ]);
    expect(counts([of("a", 20), of("a", 9000), of("b", 20)])).toEqual([
      [0, 20],
      [2, 20],
      [1, 192],
    ]);
  });

  it("lets clients take turns from step to step where a step has no page for each", () => {
    const of = (client: string, prompt: number): Choice => choice(prompt, 0, 0, client);
    expect(readBy(new StepPlanner(), [of("a", 9000), of("a", 10), of("b", 10), of("c", 200)], 64, 8)).toEqual(
      // The ten tokens of b leave the step rows, which the next client has.
      ["a", "bc", "a", "c", "a", "c", "a", "ca"],
    );
    expect(readBy(new StepPlanner(), [of("a", 4000), of("b", 4000), of("z", 10)], 128, 3)).toEqual(["ab", "zab", "ab"]);
    const [planner, a] = [new StepPlanner(), of("a", 9000)];
    expect(readBy(planner, [a], 64, 1)).toEqual(["a"]);
    expect(readBy(planner, [a, of("b", 64)], 64, 1), "who comes anew, again and again, goes before nobody").toEqual([
      "a",
    ]);
    expect(readBy(planner, [of("c", 64), a, of("b", 64)], 64, 3)).toEqual(["b", "a", "c"]);
  });

  it("feeds again what a preempted choice had said: at once where the bits are the same, else one by one", () => {
    expect(counts([choice(100, 100, 30)])).toEqual([[0, 30]]);
    expect(counts([choice(100, 100, 30)], 256, false)).toEqual([[0, 1]]);
    expect(counts([choice(100, 0, 30)])).toEqual([[0, 100]]);
  });
});
