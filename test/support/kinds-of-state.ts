/**
 * @file Every kind of layer state under everything that sequences can do, on any backend: what comes out is what a fresh sequence alone gives. One small
 * model with random weights stands for each kind; what the numbers are is in seeded-architectures.test.ts.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import "../../src/node/install.ts";
import type { Ops } from "../../src/backends/ops.ts";
import { generateBatch } from "../../src/engine/batch.ts";
import { beamSearch } from "../../src/engine/beam-search.ts";
import { Scheduler } from "../../src/engine/scheduler/scheduler.ts";
import { collect, LLM } from "../../src/index.ts";
import { createApp } from "../../src/server/app.ts";
import { oneModel } from "../../src/server/models.ts";
import { ServerMetrics } from "../../src/server/server-metrics.ts";
import { type Answer, alone, answers, SEEDED, withScheduler } from "./scheduled.ts";
import { seededSource } from "./seeded-checkpoint.ts";

const factors = (factor: number): number[] => Array.from({ length: 6 }, (_, i) => 1 + factor * i);
/** Prompts of 7 and 95 tokens are within its length of training, and what is said to the second grows out of it. */
export const longRope = {
  rope_type: "longrope",
  rope_theta: 10_000,
  partial_rotary_factor: 0.75,
  original_max_position_embeddings: 100,
  short_factor: factors(0.1),
  long_factor: factors(2),
};

export type Kind = readonly [kind: string, model: string, fields: object];

/** A name, a file of test/fixtures/architectures, and fields of its config: windows are longer than a page. */
export const KINDS: readonly Kind[] = [
  ["codes", "qwen3", {}],
  ["keys and values of unequal widths, with zeros behind them", "mimo_v2_flash-heads", { sliding_window: 80 }],
  ["sliding windows", "olmo3", { sliding_window: 80 }],
  ["chunked attention", "llama4_text", { attention_chunk_size: 80 }],
  ["projections of experts", "jetmoe", {}],
  ["latent rows", "minicpm3", {}],
  ["two latent rows a layer", "longcat_flash", {}],
  ["keys of an indexer", "deepseek_v32", {}],
  ["keys of an indexer of blocks", "minimax_m3_vl_text", {}],
  ["a delta net", "qwen3_5_text", {}],
  ["a delta net by channel, and latent rows", "kimi_linear", {}],
  ["short convolutions", "lfm3", { sliding_window: 80 }],
  ["Mamba-1", "jamba", {}],
  ["Mamba-2 alone", "mamba2", {}],
  ["Mamba-2 and attention side by side", "falcon_h1", {}],
  ["blocks that layers share", "zamba2", {}],
  ["layers without a cache", "nemotron_h", {}],
  ["layers that share another's", "gemma4_text", { sliding_window: 80 }],
  ["several streams", "gemma3n_text", { sliding_window: 80 }],
  ["means of several tokens, n-grams", "qwen4_exp_text", {}],
  ["rows of several tokens beside a window", "deepseek_v4", { sliding_window: 80 }],
  ["ropes of the length", "phi3", { rope_parameters: longRope }],
];

const KV = "k8v8,sinks=2,window=24";
/** With draws that are not on an edge, where a last bit of a logit would decide. */
export const OPTIONS = { ...SEEDED, seed: 12, maxNewTokens: 8 } as const;
const tokens = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => (i * 37 + seed * 101 + ((i * i) % 11)) % 250);
export const PROMPTS = [tokens(7, 1), tokens(95, 2), tokens(150, 3)];
/** Begins like the last of them and ends otherwise. */
export const SIMILAR = [...PROMPTS[2]!.slice(0, 140), ...tokens(30, 4)];

/** What is asked of each kind. */
const NUM_TESTS = 6;

/** Of backends whose sums are ordered by the company of a row: a token's logits beside others are not those alone to the last bit. */
const INEXACT_BACKENDS = ["webgpu"];

/** open: a backend of its own for each kind, which the model disposes of · onKind: whether all that was asked of a kind was right */
export function describeKinds(
  kinds: readonly Kind[],
  open: () => Promise<Ops>,
  onKind: (kind: string, isRight: boolean) => void = () => {},
): void {
  describe.each(kinds)("%s", (kind, model, fields) => {
    let numRight = 0;
    afterEach(({ task }) => {
      if (task.result?.state === "pass") numRight++;
    });
    afterAll(() => onKind(kind, numRight === NUM_TESTS));
    describeKind(model, fields, open);
  });
}

function describeKind(model: string, fields: object, open: () => Promise<Ops>): void {
  let ops: Ops;
  let llm: LLM;
  let expected: Answer[];
  /** False of states that are computed in chunks of a prompt: other chunks leave other last bits. */
  let isExact: boolean;
  /** Where codes flip with the last bits of what is coded, two digits are left. */
  let numDigits: number;
  const isAlike = (answer: { tokens: readonly number[]; logprobs?: readonly number[] }, own: Answer): void => {
    expect(answer.tokens).toEqual(own.tokens);
    const { logprobs = own.logprobs } = answer;
    if (isExact) expect(logprobs).toEqual(own.logprobs);
    else for (const [i, logprob] of logprobs.entries()) expect(logprob).toBeCloseTo(own.logprobs[i]!, numDigits);
  };
  beforeAll(async () => {
    ops = await open();
    llm = await LLM.load(seededSource(model, fields), { kv: KV, backend: ops });
    const isInexact = INEXACT_BACKENDS.includes(ops.name);
    numDigits = isInexact ? 2 : 3;
    isExact = !isInexact && llm.cache.slots.every((slot) => slot.isRowInvariant);
    expected = [];
    for (const ids of [...PROMPTS, SIMILAR]) expected.push(await alone(llm, ids, OPTIONS));
  });
  afterEach(() => vi.restoreAllMocks());
  afterAll(async () => {
    expect(llm.cache.numBytes, "every page was given back").toBe(0);
    await llm.dispose();
  });

  it("in a batch of different lengths", async () => {
    const results = await generateBatch(llm, PROMPTS, OPTIONS);
    for (const [i, result] of results.entries()) isAlike(result, expected[i]!);
  });

  it("forked, cut back, saved and restored", async () => {
    const session = llm.createSession();
    isAlike(await collect(session.generate(PROMPTS[2]!, OPTIONS)), expected[2]!);
    const [fork, cut] = [session.fork(), session.fork()];
    const bytes = await session.save();
    const restored = llm.restore(bytes);
    expect(Buffer.compare(await restored.save(), bytes)).toBe(0);
    const goesOn = await collect(session.generate([5, 6, 7], OPTIONS));
    for (const own of [fork, restored])
      expect((await collect(own.generate([5, 6, 7], OPTIONS))).tokens).toEqual(goesOn.tokens);
    // To the end of the prompt, and to a place inside it.
    const kept = session.rewindTo(PROMPTS[2]!);
    isAlike(await collect(session.generate(PROMPTS[2]!.slice(kept), OPTIONS)), expected[2]!);
    isAlike(await collect(cut.generate(SIMILAR.slice(cut.rewindTo(SIMILAR)), OPTIONS)), expected[3]!);
    for (const own of [session, fork, cut, restored]) own.release();
  });

  it("sharing a prefix", async () => {
    await withScheduler(llm, { chunkTokens: 64 }, async (scheduler) => {
      const cached: (number | undefined)[] = [];
      for (const [i, ids] of [...PROMPTS, SIMILAR, PROMPTS[2]!].entries()) {
        const [answer] = await answers(scheduler.generate(ids, OPTIONS));
        isAlike(answer!, expected[i === 4 ? 2 : i]!);
        cached.push(answer!.cached);
      }
      expect(cached).toEqual([0, 0, 0, 128, 128]);
    });
  });

  it("preempted and resumed, from a snapshot or by reading again", async () => {
    const options = { ...SEEDED, maxNewTokens: 30 };
    // Some tokens before the end of a page, where positions of steps ahead are reserved too.
    const prompts = [tokens(56, 5), tokens(56, 6)];
    const wanted: Answer[] = [];
    for (const ids of prompts) wanted.push(await alone(llm, ids, options));
    let limit = Number.POSITIVE_INFINITY;
    vi.spyOn(llm.cache.pool, "budgetBytes", "get").mockImplementation(() => limit);
    for (const savedBudgetBytes of [Number.POSITIVE_INFINITY, 0]) {
      limit = Number.POSITIVE_INFINITY;
      let [steps, preemptions] = [0, 0];
      const observer = {
        // After three tokens of both there is less and less room, until one of them has to go. Steps ahead go first.
        onStep: (_: number, decoding: number) => {
          if (decoding === 2 && ++steps >= 3 && preemptions === 0) limit = Math.min(limit - 1, llm.cache.numBytes);
        },
        onPreemption: () => preemptions++,
      };
      const own = { savedBudgetBytes, observer, chunkTokens: 64, prefixCache: false };
      await withScheduler(llm, own, async (scheduler) => {
        const all = await Promise.all(prompts.map((ids) => answers(scheduler.generate(ids, options))));
        for (const [i, [answer]] of all.entries()) isAlike(answer!, wanted[i]!);
      });
      expect(preemptions).toBe(1);
    }
  });

  it("in beams", async () => {
    const [best] = await beamSearch(llm, PROMPTS[1]!, { numBeams: 3, maxNewTokens: 6 });
    const sequence = llm.cache.createSequence();
    let logits = await llm.runner.prefill(sequence, PROMPTS[1]!);
    let sum = 0;
    for (const token of best!.tokens) {
      const most = Math.max(...logits);
      sum += logits[token]! - most - Math.log(logits.reduce((all, logit) => all + Math.exp(logit - most), 0));
      logits = await llm.runner.step([{ sequence, tokens: [token], logits: "last" }]);
    }
    expect(best!.score).toBeCloseTo(sum / best!.tokens.length, 3);
    sequence.release();
  });

  it("for two clients of the server at once", async () => {
    const metrics = new ServerMetrics({ modelNames: [llm.name], kv: llm.decoder.kv.text });
    const scheduler = new Scheduler(llm);
    const app = createApp({
      ...{ models: oneModel([llm.name], { llm, scheduler }), metrics, apiKeys: [] },
      logger: { info() {}, warn() {}, error() {} },
      ...{ corsOrigins: [], hosts: null, timeoutMs: 60_000, slotStore: null, staticFiles: null },
      version: "test",
    });
    const ask = async (prompt: readonly number[]): Promise<string> => {
      const body = JSON.stringify({ model: llm.name, prompt, max_tokens: 8, temperature: 0 });
      const headers = { "content-type": "application/json", host: "localhost" };
      const response = await app.fetch(
        new Request("http://localhost/v1/completions", { method: "POST", body, headers }),
        { id: "test", address: "127.0.0.1" },
      );
      return ((await response.json()) as { choices: { text: string }[] }).choices[0]!.text;
    };
    const texts = await Promise.all(PROMPTS.slice(1).map(ask));
    for (const [i, text] of texts.entries()) {
      const own = await collect(llm.generate(PROMPTS[i + 1]!, { maxNewTokens: 8, temperature: 0 }));
      expect(text).toBe(own.text);
    }
    await scheduler.close();
  });
}
