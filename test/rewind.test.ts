/** @file A sequence that was longer gives the same numbers, to the bit, as one that never was. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import type { Sequence } from "../src/cache/sequence.ts";
import { restoreSequence, saveSequence } from "../src/cache/snapshot.ts";
import { collect, LLM } from "../src/index.ts";
import { isThorough } from "./support/optional.ts";
import { checkpointPath } from "./support/shared.ts";

const MODEL = checkpointPath("qwen3-1m")!;
/**
 * The default window with texts that are longer than it and pages of 64 tokens; with tiers, with what passes all of them. Whatever else a format may say
 * is tried with a short window and shorter texts, since it is their lengths that take the time.
 */
const LONG_SPECS = ["k4v4", "tiers=8:32,4:64,3:70,2"];
const SHORT = isThorough ? "" : ",window=32";
const SPECS = [
  ...LONG_SPECS,
  `k3v3${SHORT}`,
  `k2v2${SHORT}`,
  "k4v4,window=32,sinks=20",
  "k4v4,window=16bit,window=32",
  `k8v4,sinks=0${SHORT}`,
  `k4v4${SHORT},window=16bit,layers=0-1:f16`,
  "paper-4",
  "f16",
];

/** Tokens that no text has, the same on every run. */
const tokens = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => 5 + ((i * 7919 + seed * 104_729 + i * i * 31) % 4000));

const maxDifference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

let base: LLM;
beforeAll(async () => {
  base = await LLM.load(MODEL, { kv: "f16", backend: "wasm", threads: 1 });
});
afterAll(() => base.dispose());

describe.each(SPECS)("%s", (kv) => {
  let llm: LLM;
  beforeAll(async () => {
    llm = await base.withKv(kv);
  });
  afterAll(async () => {
    expect(llm.cache.numBytes, "every sequence gave its pages back").toBe(0);
    await llm.dispose();
  });

  const isLong = isThorough || LONG_SPECS.includes(kv);
  const [first, dropped, next] = [
    tokens(isLong ? 330 : 170, 1),
    tokens(isLong ? 100 : 70, 2),
    tokens(isLong ? 90 : 40, 3),
  ];
  /** More than a window. */
  const answer = isLong ? 140 : 40;

  /** Last logits of a sequence that has read `first` and then `next`. */
  async function fresh(): Promise<Float32Array> {
    const sequence = llm.cache.createSequence();
    await llm.runner.prefill(sequence, first);
    const logits = await llm.runner.prefill(sequence, next);
    sequence.release();
    return logits;
  }

  /** Cuts to the end of `first`, reads again what that lost, then `next`. */
  async function afterCut(sequence: Sequence): Promise<Float32Array> {
    const kept = sequence.cutTo(first.length);
    await llm.runner.prefill(sequence, first.slice(kept));
    return llm.runner.prefill(sequence, next);
  }

  // A float layer adds up few rows in another order than many, so reading one token again may round differently.
  const isResidual = !kv.includes(":f16");

  it("cut back beyond the window, with and without a mark; fork and restore on the way", async () => {
    const expected = await fresh();
    for (const markAt of [undefined, first.length, first.length - 1]) {
      const sequence = llm.cache.createSequence();
      await llm.runner.prefill(sequence, first, { markAt });
      await llm.runner.prefill(sequence, dropped);
      const fork = sequence.fork();
      const saved = await saveSequence(sequence, { fingerprint: "a", kvSpec: "b" });
      const restored = restoreSequence(llm.cache, saved, { fingerprint: "a", kvSpec: "b" }).sequence;
      for (const own of [sequence, fork, restored]) {
        if (own !== restored && markAt) expect(own.keepable(first.length)).toBeGreaterThanOrEqual(markAt);
        const logits = await afterCut(own);
        if (isResidual) expect(logits, `mark at ${markAt}`).toEqual(expected);
        else expect(maxDifference(logits, expected)).toBeLessThan(1e-3);
        own.release();
      }
    }
  });

  it("a session that answers again reads nothing again, and says the same as a fresh one", async () => {
    const options = { maxNewTokens: answer, temperature: 0, ignoreEos: true } as const;
    const session = llm.createSession();
    // As `chat` does: a session that goes back keeps the ends of its prompts ready.
    session.rewindTo(first);
    const once = await collect(session.generate(first, options));
    const kept = session.rewindTo(first);
    expect(kept).toBe(first.length - 1);
    const again = await collect(session.generate(first.slice(kept), options));
    expect(again.tokens).toEqual(once.tokens);
    expect(again.usage).toMatchObject({ cachedTokens: first.length - 1, promptTokens: 1 });
    expect(again.usage.rereadTokens).toBeUndefined();
    session.release();
  });

  it("a session cut into an earlier prompt says what it reads again", async () => {
    const options = { maxNewTokens: answer, temperature: 0, ignoreEos: true } as const;
    const session = llm.createSession();
    await collect(session.generate(first, options));
    const start = isLong ? 200 : 100;
    const ids = [...first.slice(0, start), ...next];
    const kept = session.rewindTo(ids);
    expect(kept).toBe(start);
    const again = await collect(session.generate(ids.slice(kept), options));
    expect(again.usage.cachedTokens + (again.usage.rereadTokens ?? 0)).toBe(start);
    const other = llm.createSession();
    expect(again.tokens).toEqual((await collect(other.generate(ids, options))).tokens);
    other.release();
    session.release();
  });
});
