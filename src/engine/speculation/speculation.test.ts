/** Drafted tokens against none: nothing of an answer or a saved session may differ, whatever the drafts are. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../node/install.ts";
import { FAKE_VOCAB, fakeCheckpoint } from "../../../test/support/fake-checkpoint.ts";
import { type FakeOps, loadFake } from "../../../test/support/fake-ops.ts";
import { answers } from "../../../test/support/scheduled.ts";
import { generateBatch } from "../batch.ts";
import { collect, type GenerateOptions } from "../generation.ts";
import type { LLM } from "../llm.ts";
import type { SchedulerObserver } from "../scheduler/observer.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import type { Session } from "../session.ts";
import type { TokenConstraint } from "../token-constraint.ts";
import type { DraftSource } from "./draft-source.ts";
import { mostDraftedRows, mostDrafts } from "./most-drafts.ts";
import type { SpeculateOptions } from "./speculation-options.ts";

/** A window and sinks smaller than a generation, so that 16-bit pages are dropped on the way. */
const KV = "k4v4,window=32,sinks=4";
const PROMPT = Array.from({ length: 30 }, (_, i) => 300 + ((i * 7) % 40));
const GREEDY = { temperature: 0, ignoreEos: true, maxNewTokens: 90 } as const;
const SEEDED = { ...GREEDY, temperature: 0.9, topK: 30, topP: 0.9, minP: 0.01, seed: 7 } as const;

/** Knows the answer and drafts it, but for every `wrong`-th token of it. */
function oracle(answer: readonly number[], wrong: number, most = 5): SpeculateOptions {
  const source: DraftSource = {
    propose: (tokens, count) => {
      const at = tokens.length - PROMPT.length;
      const next = answer.slice(at, at + count);
      return Promise.resolve(next.map((token, i) => ((at + i) % wrong === wrong - 1 ? token + 1 : token)));
    },
    release() {},
  };
  return { createSource: () => source, numSpeculativeTokens: most };
}

/** Everything of a generation but its times and its drafts. */
async function run(session: Session, options: GenerateOptions) {
  const { tokens, text, finishReason, usage } = await collect(session.generate(PROMPT, options));
  const { draftedTokens = 0, acceptedTokens = 0, ...others } = usage;
  const state = { length: session.sequence.length, bytes: session.kvBytes, file: await session.save() };
  return { answer: { tokens, text, finishReason, usage: others }, state, draftedTokens, acceptedTokens };
}

async function inSession<T>(llm: LLM, use: (session: Session) => Promise<T>): Promise<T> {
  const session = llm.createSession();
  try {
    return await use(session);
  } finally {
    session.release();
  }
}

const alone = (llm: LLM, options: GenerateOptions) => inSession(llm, (session) => run(session, options));

/** Even tokens and odd ones by turns. */
class ByTurns implements TokenConstraint {
  #count: number;
  constructor(count = 0) {
    this.#count = count;
  }
  mask(logits: Float32Array): void {
    for (let token = 0; token < logits.length; token++) {
      if (token % 2 !== this.#count % 2) logits[token] = Number.NEGATIVE_INFINITY;
    }
  }
  advance(): void {
    this.#count++;
  }
  fork(): ByTurns {
    return new ByTurns(this.#count);
  }
}

describe.each([false, true])("drawn on the device: %s", (samples) => {
  let llm: LLM;
  let ops: FakeOps;
  beforeAll(async () => {
    ({ llm, ops } = await loadFake({ samples }, { kv: KV }));
  });
  afterAll(async () => {
    expect(llm.cache.numBytes, "pages given back").toBe(0);
    expect(ops.sampling?.open.size ?? 0, "streams closed").toBe(0);
    await llm.dispose();
  });

  it.each<[string, GenerateOptions]>([
    ["greedy", GREEDY],
    ["seeded", SEEDED],
    ["penalties", { ...SEEDED, repetitionPenalty: 1.3, frequencyPenalty: 0.4, presencePenalty: 0.2 }],
    ["likely tokens", { ...SEEDED, logprobs: 3 }],
    ["a constraint", { ...SEEDED, constraint: new ByTurns() }],
    ["least tokens", { ...SEEDED, ignoreEos: false, minNewTokens: 60 }],
    ["a stop string", { ...GREEDY, stop: [" w20"] }],
  ])("%s: the same answer and the same bytes, drafts right and wrong", async (_, options) => {
    const plain = await alone(llm, options);
    const { tokens } = plain.answer;
    for (const wrong of [1, 2, 7, 1000]) {
      const { constraint } = options;
      const own = { ...options, constraint: constraint?.fork(), speculate: oracle(tokens, wrong) };
      const before = ops.steps;
      const { answer, state, draftedTokens, acceptedTokens } = await alone(llm, own);
      expect({ answer, state }, `every ${wrong}`).toEqual({ answer: plain.answer, state: plain.state });
      expect(draftedTokens).toBeGreaterThan(0);
      if (wrong === 1) expect(acceptedTokens).toBe(0);
      // A step for the prompt, and one for each token but the first that was not right in a draft; the last is not fed.
      expect(ops.steps - before).toBe(tokens.length - acceptedTokens);
      if (wrong > 1) expect(acceptedTokens).toBeGreaterThan(tokens.length / 4);
    }
  });

  it("a loop that is left, or aborted, leaves the session as it is without drafts", async () => {
    const { tokens } = (await alone(llm, SEEDED)).answer;
    const leaving = async (options: GenerateOptions) =>
      inSession(llm, async (session) => {
        let count = 0;
        for await (const chunk of session.generate(PROMPT, options)) if (chunk.token && ++count === 13) break;
        const left = { tokens: [...session.tokens], file: await session.save(), bytes: session.kvBytes };
        return { left, next: (await collect(session.generate([400], GREEDY))).tokens };
      });
    const [plain, drafted] = [await leaving(SEEDED), await leaving({ ...SEEDED, speculate: oracle(tokens, 6) })];
    expect(drafted).toEqual(plain);
    const signal = AbortSignal.abort();
    await expect(collect(llm.generate(PROMPT, { ...SEEDED, signal, speculate: oracle(tokens, 6) }))).rejects.toThrow();
  });

  it("in batches: rows with drafts beside rows without, and several continuations of a prompt", async () => {
    const { tokens } = (await alone(llm, SEEDED)).answer;
    const other = (await alone(llm, { ...SEEDED, seed: 8 })).answer.tokens;
    const speculate = oracle(tokens, 4);
    const counted = { drafted: 0, accepted: 0 };
    const scheduler = new Scheduler(llm, {
      prefixCache: false,
      observer: {
        onDrafts: (drafted, accepted) => {
          counted.drafted += drafted;
          counted.accepted += accepted;
        },
      },
    });
    const requests: GenerateOptions[] = [
      { ...SEEDED, speculate },
      { ...SEEDED, seed: 8 },
      { ...GREEDY, speculate },
    ];
    const results = await Promise.all(requests.map((options) => collect(scheduler.generate(PROMPT, options))));
    await scheduler.close();
    expect(results[0]!.tokens).toEqual(tokens);
    expect(results[1]!.tokens).toEqual(other);
    expect(results[1]!.usage.draftedTokens).toBeUndefined();
    expect(results[2]!.tokens).toEqual((await alone(llm, GREEDY)).answer.tokens);
    const sum = (name: "draftedTokens" | "acceptedTokens"): number =>
      results.reduce((total, { usage }) => total + (usage[name] ?? 0), 0);
    expect(counted).toEqual({ drafted: sum("draftedTokens"), accepted: sum("acceptedTokens") });
    expect(counted.accepted).toBeGreaterThan(tokens.length / 2);

    const batch = await generateBatch(llm, [PROMPT], { ...SEEDED, n: 2, speculate });
    expect(batch.map((result) => result.tokens)).toEqual([tokens, other]);
  });

  it("requests that are preempted, with their pages saved or computed again", async () => {
    const prompts = [1, 2, 3, 4].map((first) => [300 + first, ...PROMPT]);
    const options = { ...SEEDED, maxNewTokens: 260 };
    const answers = new Map<number, readonly number[]>();
    let most = 0;
    for (const ids of prompts) {
      const session = llm.createSession();
      answers.set(ids[0]!, (await collect(session.generate(ids, options))).tokens);
      most = Math.max(most, session.kvBytes);
      session.release();
    }
    const createSource = (): DraftSource => ({
      propose: async (tokens, count) => {
        const at = tokens.length - PROMPT.length - 1;
        const next = answers.get(tokens[0]!)!.slice(at, at + count);
        return next.map((token, i) => ((at + i) % 5 === 4 ? token + 1 : token));
      },
      release() {},
    });
    for (const savedBudgetBytes of [Number.POSITIVE_INFINITY, 0]) {
      const tight = await loadFake({ samples }, { kv: KV, kvBudgetBytes: Math.ceil(3.2 * most) });
      let preemptions = 0;
      const scheduler = new Scheduler(tight.llm, {
        savedBudgetBytes,
        speculate: { createSource },
        observer: { onPreemption: () => void preemptions++ },
      });
      const results = await Promise.all(prompts.map((ids) => collect(scheduler.generate(ids, options))));
      expect(results.map(({ tokens }) => tokens)).toEqual(prompts.map((ids) => answers.get(ids[0]!)));
      for (const { usage } of results) expect(usage.acceptedTokens).toBeGreaterThan(30);
      expect(preemptions).toBeGreaterThan(0);
      await scheduler.close();
      expect(tight.llm.cache.numBytes).toBe(0);
      await tight.llm.dispose();
    }
  });

  it.each(["pages", "logits"] as const)(
    "a device without memory for %s of drafts makes its steps without",
    async (of) => {
      const own = await loadFake({ samples }, { kv: KV });
      const { pages } = own.ops;
      let most = 0;
      const allocate = pages.allocate.bind(pages);
      pages.allocate = (numBytes) => {
        const page = allocate(numBytes);
        most = Math.max(most, pages.numBytes);
        return page;
      };
      const { tokens } = await collect(own.llm.generate(PROMPT, SEEDED));
      pages.allocate = allocate;
      const scheduler = new Scheduler(own.llm);
      // A prefix of another request is kept, which nobody gives up for a draft.
      await collect(scheduler.generate([900, 901, ...PROMPT], { ...SEEDED, maxNewTokens: 2 }));
      const kept = pages.numBytes;
      if (of === "logits") own.ops.mostValues = 2 * FAKE_VOCAB;
      const speculate = oracle(tokens, 1000, 40);
      let proposals = 0;
      const createSource = (): DraftSource => {
        const source = speculate.createSource!();
        const propose: DraftSource["propose"] = (...all) => {
          proposals++;
          return source.propose(...all);
        };
        return { ...source, propose };
      };
      const drafting = { ...SEEDED, speculate: { ...speculate, createSource } };
      for (const make of [own.llm, scheduler]) {
        if (of === "pages") pages.limitBytes = kept + most;
        proposals = 0;
        const { tokens: actual, usage } = await collect(make.generate(PROMPT, drafting));
        expect(actual).toEqual(tokens);
        // The step that failed has none that count, and there are none behind it.
        expect(usage.draftedTokens).toBe(usage.acceptedTokens);
        if (of === "logits") expect([usage.draftedTokens, proposals]).toEqual([0, 1]);
        pages.limitBytes = Number.POSITIVE_INFINITY;
      }
      const { prefixEvictions, preempted } = scheduler.stats;
      expect({ prefixEvictions, preempted }).toEqual({ prefixEvictions: 0, preempted: 0 });
      await scheduler.close();
      expect(own.llm.cache.numBytes).toBe(0);
      await own.llm.dispose();
    },
  );

  it("a kept prefix is what it is without drafts", async () => {
    const { tokens } = (await alone(llm, GREEDY)).answer;
    const bytesOf = async (options: GenerateOptions): Promise<number> => {
      const scheduler = new Scheduler(llm);
      await collect(scheduler.generate(PROMPT, options));
      const bytes = scheduler.stats.kvBytes;
      await scheduler.close();
      return bytes;
    };
    for (const maxNewTokens of [33, 34, 35, 36]) {
      const options = { ...GREEDY, maxNewTokens };
      expect(await bytesOf({ ...options, speculate: oracle(tokens, 1000) })).toBe(await bytesOf(options));
    }
  });
});

/** 2,000 answers that differ in their seed alone, drafted each time with the likeliest second token. */
it("at a temperature tokens come as often as their probability says", async () => {
  const { llm } = await loadFake({}, { kv: KV });
  const options = { ...GREEDY, maxNewTokens: 3, logprobs: 4 };
  const prompt = PROMPT.slice(0, 4);
  const pieces = [];
  for await (const piece of llm.generate(prompt, { ...options, maxNewTokens: 2 })) pieces.push(piece);
  const [one, two] = pieces.map(({ token }) => token!);
  // One token may come first; what may come second are the three likeliest behind it.
  const top = pieces[1]!.topLogprobs!.slice(0, 3);
  const weights = top.map(({ logprob }) => Math.exp(logprob / 0.7));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const drawn = { temperature: 0.7, topK: 3, ignoreEos: true, maxNewTokens: 3 };
  const counts = new Map<number, number>();
  let accepted = 0;
  let seen = 0;
  const speculate = { createSource: () => ({ propose: async () => [two!, two!], release() {} }) };
  for (let seed = 0; seed < 2000; seed++) {
    const { tokens, usage } = await collect(llm.generate(prompt, { ...drawn, seed, speculate }));
    if (tokens[0] !== one) continue;
    seen++;
    accepted += Math.min(1, usage.acceptedTokens!);
    counts.set(tokens[1]!, (counts.get(tokens[1]!) ?? 0) + 1);
  }
  expect([...counts.keys()].every((token) => top.some((t) => t.token === token))).toBe(true);
  const chiSquare = top.reduce((sum, { token }, i) => {
    const expected = (seen * weights[i]!) / total;
    return sum + ((counts.get(token) ?? 0) - expected) ** 2 / expected;
  }, 0);
  expect(seen).toBeGreaterThan(500);
  // Two degrees of freedom: 13.8 is passed once in a thousand, and the seeds are the same on every run.
  expect(chiSquare).toBeLessThan(13.8);
  // A draft is right as often as its token is drawn.
  expect(accepted).toBe(counts.get(two!));
  await llm.dispose();
}, 60_000);

describe("what is refused or limited", () => {
  it("options, by name and range", async () => {
    const { llm } = await loadFake({}, { kv: KV });
    const tried = (speculate: unknown) => collect(llm.generate(PROMPT, { ...GREEDY, speculate: speculate as "off" }));
    await expect(tried("ngram")).rejects.toThrow(
      'speculate: expected off, prompt-lookup or an object of options, got "ngram"',
    );
    await expect(tried({ draftMax: 3 })).rejects.toThrow("did you mean numSpeculativeTokens?");
    await expect(tried({ numSpeculativeTokens: 0 })).rejects.toThrow(
      "speculate: numSpeculativeTokens: expected a whole number from 1 to 64, got 0",
    );
    await expect(tried({ promptLookupMin: 3, promptLookupMax: 2 })).rejects.toThrow(
      "speculate: promptLookupMax: expected a whole number from 3 to 64, got 2",
    );
    // Where one of the two is given, the other goes along with it.
    for (const speculate of [{ promptLookupMin: 9 }, { promptLookupMax: 1 }]) {
      await collect(llm.generate(PROMPT, { ...GREEDY, maxNewTokens: 2, speculate }));
    }
    for (const value of [null, "5", 1.5]) {
      await expect(tried({ promptLookupMin: value })).rejects.toThrow("expected a whole number from 1 to 64");
    }
    expect(() => new Scheduler(llm, { speculate: "ngram" as "off" })).toThrow("speculate: expected off");
    expect(llm.cache.numBytes).toBe(0);
    await llm.dispose();
  });

  it("where rows depend on their number a step has four at most", async () => {
    const { llm } = await loadFake({ isRowInvariant: false }, { kv: KV });
    const { tokens } = (await alone(llm, GREEDY)).answer;
    const asked: number[] = [];
    const known = oracle(tokens, 1000).createSource!();
    const createSource = (): DraftSource => ({
      propose: (own, most, draw) => {
        asked.push(most);
        return known.propose(own, most, draw);
      },
      release() {},
    });
    expect((await alone(llm, { ...GREEDY, speculate: { createSource } })).answer.tokens).toEqual(tokens);
    expect(Math.max(...asked)).toBe(3);
    await llm.dispose();
  });

  it("logits of drafted rows are few, and sequences that share a step share them", async () => {
    const vocabSize = 4096;
    const { llm } = await loadFake({}, { kv: KV }, fakeCheckpoint({ vocab_size: vocabSize }));
    const rowsOf = (size: number): number => mostDrafts(llm.ops, llm.cache, size);
    expect([152_000, 262_144, 2 ** 23].map(rowsOf)).toEqual([27, 16, 0]);
    const n = 20;
    const options = { ...GREEDY, maxNewTokens: 140 };
    const { tokens } = (await alone(llm, options)).answer;
    const rows: number[] = [];
    const drafts: number[] = [];
    const observer: SchedulerObserver = {
      onStep: (_, decodeRows) => void rows.push(decodeRows),
      onDrafts: (drafted) => void drafts.push(drafted),
    };
    const scheduler = new Scheduler(llm, { observer, speculate: oracle(tokens, 1000, 64) });
    const all = await answers(scheduler.generate(PROMPT, { ...options, n }));
    expect(all.map((answer) => answer.tokens)).toEqual(Array.from({ length: n }, () => tokens));
    // Of 64 for each there would be more. Each gets its part.
    expect(Math.max(...rows)).toBe(n + mostDraftedRows(vocabSize));
    expect(drafts.filter((drafted) => drafted > 50)).toHaveLength(n);
    await scheduler.close();
    await llm.dispose();
  });

  it("what is no token is not drafted", async () => {
    const { llm } = await loadFake({}, { kv: KV });
    const { tokens } = (await alone(llm, GREEDY)).answer;
    for (const bad of [-1, 4096, 1.5, Number.NaN]) {
      const createSource = (): DraftSource => ({ propose: async () => [bad, 5, 6], release() {} });
      const drafted = await alone(llm, { ...GREEDY, speculate: { createSource } });
      expect(drafted.answer.tokens).toEqual(tokens);
      expect(drafted.draftedTokens).toBe(0);
    }
    await llm.dispose();
  });

  it("no page grows coarser for a draft", async () => {
    const kv = "tiers=8:auto,4:auto,2";
    const options = { ...GREEDY, maxNewTokens: 600 };
    const probe = await loadFake({}, { kv, kvBudgetBytes: 2 ** 30 });
    const { answer, state } = await alone(probe.llm, options);
    await probe.llm.dispose();
    const { llm } = await loadFake({}, { kv, kvBudgetBytes: Math.ceil(0.7 * state.bytes) });
    const plain = await alone(llm, options);
    const { numPages } = llm.runner.coarsening;
    const drafted = await alone(llm, { ...options, speculate: oracle(answer.tokens, 9) });
    expect(numPages).toBeGreaterThan(0);
    expect(drafted).toMatchObject({ answer: plain.answer, state: plain.state });
    expect(llm.runner.coarsening.numPages).toBe(2 * numPages);
    expect(drafted.acceptedTokens).toBeGreaterThan(100);
    await llm.dispose();
  });

  it("nor where others took the room that was free for it", async () => {
    const kv = "tiers=8:auto,4:auto,2";
    const ids = Array.from({ length: 600 }, (_, i) => 300 + (i % 90));
    const probe = await loadFake({}, { kv, kvBudgetBytes: 2 ** 30 });
    const sequence = probe.llm.cache.createSequence();
    await probe.llm.runner.prefill(sequence, ids);
    const kvBudgetBytes = sequence.numBytes + sequence.bytesToReserve(1);
    await probe.llm.dispose();
    const { llm } = await loadFake({}, { kv, kvBudgetBytes });
    const { runner, cache } = llm;
    const own = cache.createSequence();
    await runner.prefill(own, ids);
    const before = runner.coarsening.numPages;
    const step = (reserved: number) =>
      runner.step([{ sequence: own, tokens: ids.slice(0, 1 + reserved), reserved, logits: "last" }]);
    await expect(step(200)).rejects.toMatchObject({ code: "out_of_memory" });
    expect(runner.coarsening.numPages).toBe(before);
    await step(0);
    expect(own.length).toBe(ids.length + 1);
    own.release();
    await llm.dispose();
  });

  it("without room for drafts there are none, and the answer is as long as without", async () => {
    const probe = await loadFake({}, { kv: KV });
    const { answer, state } = await alone(probe.llm, GREEDY);
    await probe.llm.dispose();
    for (const kvBudgetBytes of [state.bytes, state.bytes + 2000]) {
      const { llm } = await loadFake({}, { kv: KV, kvBudgetBytes });
      const plain = await alone(llm, GREEDY).catch((error: unknown) => String(error));
      const drafted = await alone(llm, { ...GREEDY, speculate: oracle(answer.tokens, 3) }).catch((error: unknown) =>
        String(error),
      );
      if (typeof plain === "string") expect(drafted).toBe(plain);
      else expect(drafted).toMatchObject({ answer: plain.answer, state: plain.state });
      await llm.dispose();
    }
  });
});
