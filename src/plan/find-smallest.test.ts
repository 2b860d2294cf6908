/** @file The search over a ladder whose truth is known: it finds the smallest, evaluates no more than it must, and says why. */
import { describe, expect, it } from "vitest";
import { CounterRng } from "../math/rng.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { findSmallest, type SearchOptions } from "./find-smallest.ts";
import { type ChunkEvidence, GATES } from "./gates.ts";
import { isAtLeast, LADDER, TAIL_REFERENCE } from "./preset-ladder.ts";

/** KLD of a format on an imaginary model: falls fourfold a bit on each side. */
const truth = (kv: string, scale: number): number => {
  const [, k, v] = /^k(\d)v(\d)/.exec(kv)!.map(Number);
  return scale * (4 ** -k! + 4 ** -v!);
};
const bits = (kv: string): number => Number(kv[1]) + Number(kv[3]);

/** An imaginary model; `noise`: relative spread between chunks. */
function imaginary(scale: number, noise: number, options: Partial<SearchOptions<ChunkEvidence>> = {}) {
  const calls: [kv: string, chunk: number][] = [];
  const search = findSmallest({
    gate: GATES.intact,
    rungs: LADDER.map((kv) => ({ kv, bytesPerToken: bits(kv) * 64 })),
    isAtLeast: (a, b) => isAtLeast(parseKvSpec(a), parseKvSpec(b), 4),
    reference: TAIL_REFERENCE,
    maxChunks: 8,
    recall: null,
    async evaluate(names, chunk) {
      return names.map((kv) => {
        calls.push([kv, chunk]);
        const rng = new CounterRng(chunk, 3 + bits(kv));
        const kldMean = truth(kv, scale) * Math.exp(noise * rng.gaussian(0));
        return {
          pplRatio: 1 + kldMean / 3,
          pplRatioSe: kldMean / 60,
          kldMean,
          kldMeanSe: kldMean / 30,
          kldP999: 15 * kldMean,
          top1: 1 - 0.3 * Math.sqrt(kldMean),
          tokens: 2048,
        };
      });
    },
    ...options,
  });
  return { search, calls };
}

describe("findSmallest", () => {
  it("finds the smallest that passes, whatever the model's sensitivity", async () => {
    // The tail is the narrowest criterion here: 15 · KLD ≤ 0.07.
    for (const scale of [0.01, 0.05, 0.2, 1, 4, 20]) {
      const passing = LADDER.filter((kv) => truth(kv, scale) * 15 <= 0.07);
      const smallest = passing.reduce<string | null>((a, b) => (a && bits(a) <= bits(b) ? a : b), null);
      const { chosen, rungs } = await imaginary(scale, 0.02).search;
      expect(chosen && [scale, bits(chosen)]).toEqual(smallest && [scale, bits(smallest)]);
      expect(rungs.map(({ kv }) => kv).sort()).toEqual([...LADDER].sort());
    }
  });

  it("leaves out what is larger than the answer and what is no better than a failure", async () => {
    const { search, calls } = imaginary(1, 0.02);
    const { chosen, rungs } = await search;
    const chunksOf = (kv: string) => calls.filter(([name]) => name === kv).length;
    expect(chosen).toBe("k5v5");
    expect(rungs.find(({ kv }) => kv === "k4v3")).toMatchObject({ verdict: "fail", chunks: 1 });
    expect(rungs.find(({ kv }) => kv === "k2v2")).toMatchObject({ verdict: "skipped", chunks: 0 });
    expect(rungs.find(({ kv }) => kv === "k6v6")).toMatchObject({
      verdict: "skipped",
      reason: "not smaller than k5v5",
    });
    expect(chunksOf("k6v6")).toBe(0);
    expect(chunksOf("k5v5")).toBe(3);
    // A failure rules out what is no better: nothing is evaluated to its end after that.
    const order = ["k3v3", "k3v2", "k4v2", "k2v3", "k2v2", "k8v8"];
    const late = await imaginary(4, 0.02, { rungs: order.map((kv, i) => ({ kv, bytesPerToken: i })) }).search;
    expect(late.rungs.map(({ kv, verdict, reason }) => [kv, verdict, reason])).toEqual([
      ["k3v3", "fail", expect.stringContaining("KLD")],
      ["k3v2", "skipped", "no better than k3v3"],
      ["k4v2", "fail", expect.stringContaining("KLD")],
      ["k2v3", "fail", expect.stringContaining("KLD")],
      ["k2v2", "skipped", "no better than k3v3"],
      ["k8v8", "pass", expect.any(String)],
    ]);
  });

  it("halves the ladder, and makes the smallest good one certain before it looks at what is near the gate", async () => {
    const { search, calls } = imaginary(1, 0.02);
    await search;
    expect(calls.slice(0, 6).map(([kv, chunk]) => `${kv} ${chunk}`)).toEqual([
      ...["k4v4 0", "k6v5 0", "k5v4 0", "k5v5 0", "k5v5 1", "k5v5 2"],
    ]);
  });

  it("ends in time with what has passed, and says what was not tried", async () => {
    const calls: string[] = [];
    const isOver = () => calls.length >= 6;
    const inTime = imaginary(1, 0.02, { isOver, onRound: (kv) => calls.push(kv) });
    const { chosen, rungs } = await inTime.search;
    expect(chosen).toBe("k5v5");
    expect(rungs.find(({ kv }) => kv === "k4v3")).toMatchObject({ verdict: "open", chunks: 0 });
    // A chunk that was not read to its end, and recall without time for it, change nothing.
    const cut = imaginary(1, 0.02, { evaluate: async () => null });
    expect((await cut.search).chosen).toBeNull();
    expect((await imaginary(1, 0.02, { recall: async () => null }).search).chosen).toBe("k5v5");
  });

  it("does not wait for a rung at the gate before a larger one is certain", async () => {
    // k4v4's tail is just within the gate, and its spread so large that no number of chunks decides it.
    const scale = 0.06 / 15 / (2 * 4 ** -4);
    const tried: string[] = [];
    const { chosen } = await imaginary(scale, 0.4, {
      isOver: () => tried.length >= 14,
      onRound: (kv) => tried.push(kv),
    }).search;
    expect(chosen).not.toBeNull();
  });

  it("says what it could not decide, and takes the next larger that passes", async () => {
    // k4v4's tail lies right at the gate.
    const scale = 0.07 / 15 / (2 * 4 ** -4);
    const { chosen, rungs } = await imaginary(scale, 0.2, { maxChunks: 4 }).search;
    expect(rungs.find(({ kv }) => kv === "k4v4")).toMatchObject({ verdict: "open", chunks: 4, tokens: 8192 });
    expect(bits(chosen!)).toBeGreaterThan(8);
    expect(rungs.find(({ kv }) => kv === chosen)!.verdict).toBe("pass");
  });

  it("answers null when nothing passes", async () => {
    const { chosen, rungs } = await imaginary(1e5, 0.02).search;
    expect(chosen).toBeNull();
    expect(rungs.every(({ verdict }) => verdict === "fail" || verdict === "skipped")).toBe(true);
  });

  it("asks for the reference only where a tail alone fails", async () => {
    const usable = imaginary(1, 0.02, { gate: GATES.usable });
    await usable.search;
    expect(usable.calls.some(([kv]) => kv === TAIL_REFERENCE)).toBe(false);
    // Without a tail one chunk would do for the intervals, but not for a pass.
    const { chosen, rungs } = await usable.search;
    expect(rungs.find(({ kv }) => kv === chosen)!.chunks).toBe(3);
    // k3v3 fails by its mean, k4v4 by its tail alone: 0.0078 nats, p99.9 0.117.
    for (const [kv, references] of [
      ["k3v3", []],
      ["k4v4", [0, 1, 2]],
    ] as const) {
      const { search, calls } = imaginary(1, 0.02, { rungs: [{ kv, bytesPerToken: 1 }] });
      expect((await search).rungs[0]).toMatchObject({ kv, verdict: "fail" });
      expect(calls.filter(([name]) => name === TAIL_REFERENCE).map(([, chunk]) => chunk)).toEqual(references);
    }
  });

  it("recall sends it on to a larger one, unless the model cannot recall at all", async () => {
    const asked: string[] = [];
    const recall = (base: number) => async (kv: string) => {
      asked.push(kv);
      return { own: bits(kv) < 11 ? base - 0.1 : base, base, prompts: 40 };
    };
    const { chosen, rungs } = await imaginary(0.5, 0.02, { recall: recall(1) }).search;
    expect(asked.map(bits)).toEqual([8, 9, 10, 11]);
    expect(chosen).toBe("k6v5");
    expect(rungs.find(({ kv }) => kv === "k4v4")).toMatchObject({ verdict: "fail", reason: "recall" });
    asked.length = 0;
    expect((await imaginary(0.5, 0.02, { recall: recall(0.3) }).search).chosen).toBe("k4v4");
  });
});

describe("isAtLeast", () => {
  const atLeast = (a: string, b: string) => isAtLeast(parseKvSpec(a), parseKvSpec(b), 4);

  it("a trellis is worth something, but less than a bit", () => {
    expect(atLeast("k2v2", "k2v2,trellis=off")).toBe(true);
    expect(atLeast("k2v2,trellis=off", "k2v2")).toBe(false);
    expect(atLeast("k3v3", "k2v3")).toBe(true);
    expect(atLeast("k2v3", "k3v3")).toBe(false);
  });
  it.each([
    ["k4v4", "k4v3", true],
    ["k4v4", "k4v4", true],
    ["k3v5", "k4v4", false],
    ["k4v4", "k4v4,window=0", true],
    ["k4v4,window=0", "k4v4", false],
    ["k4v4", "k3v3", true],
    ["k3v3,window=16bit", "k2v2", false],
    ["k4v4", "k4v4,window=16bit", false],
    ["k8v8", "k6v6", true],
    ["k7v7", "k6v6,window=16bit", false],
    ["k4v4", "paper-3", false],
    ["paper-4", "paper-3", true],
    ["f16", "k8v8", true],
    ["f16", "f32", false],
    ["k4v4,layers=0:k8v8", "k4v4", true],
    ["k4v4", "k4v4,layers=0:k8v8", false],
    ["q8_0", "q4_0r", false],
  ])("%s against %s: %s", (a, b, expected) => {
    expect(atLeast(a, b)).toBe(expected);
  });
});
