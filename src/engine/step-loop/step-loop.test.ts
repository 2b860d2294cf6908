/** Where tokens are drawn, how many steps are in flight, and what constrains them: nothing of it depends on the company. */
import { expect, it } from "vitest";
import "../../node/install.ts";
import { FAKE_VOCAB } from "../../../test/support/fake-checkpoint.ts";
import { type FakeOps, loadFake } from "../../../test/support/fake-ops.ts";
import { generateBatch } from "../batch.ts";
import { collect, type GenerateOptions } from "../generation.ts";
import type { LLM } from "../llm.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import type { TokenConstraint } from "../token-constraint.ts";

const SEEDED = { temperature: 0.9, topK: 30, topP: 0.9, seed: 7, ignoreEos: true, maxNewTokens: 30 };
const prompt = (seed: number): number[] =>
  Array.from({ length: 20 + seed }, (_, i) => 10 + ((i * 7 + seed * 131) % 400));

/** Answers to requests that run together, and to each of them alone. */
async function together(llm: LLM, requests: readonly GenerateOptions[]) {
  const alone = [];
  for (const [i, options] of requests.entries()) alone.push((await collect(llm.generate(prompt(i), options))).tokens);
  const scheduler = new Scheduler(llm, { prefixCache: false });
  const results = await Promise.all(requests.map((options, i) => collect(scheduler.generate(prompt(i), options))));
  await scheduler.close();
  expect(llm.cache.numBytes).toBe(0);
  return { alone, together: results.map(({ tokens }) => tokens) };
}

const readOf = async (ops: FakeOps, use: () => Promise<unknown>): Promise<number> => {
  const before = ops.valuesRead;
  await use();
  return (ops.valuesRead - before) / FAKE_VOCAB;
};

it("requests that draw alike read back the logits of their first token only, with three steps in flight", async () => {
  const { llm, ops } = await loadFake({ samples: true });
  const sampling = ops.sampling!;
  const requests = [1, 2, 3, 4].map((seed) => ({ ...SEEDED, seed }));
  for (const [i, options] of requests.entries()) await collect(llm.generate(prompt(i), options));
  sampling.mostInFlight = 0;
  const scheduler = new Scheduler(llm, { prefixCache: false });
  const rows = await readOf(ops, () =>
    Promise.all(requests.map((options, i) => collect(scheduler.generate(prompt(i), options)))),
  );
  await scheduler.close();
  expect(rows).toBe(4);
  expect(sampling.mostRows).toBe(4);
  expect(sampling.mostInFlight).toBe(3);
  expect(sampling.open.size).toBe(0);
  await llm.dispose();
});

it("rows of a step are drawn as each asks for, on the device and on the host, as they are alone", async () => {
  const { llm, ops } = await loadFake({ samples: true, endsEvery: 40 });
  const requests: GenerateOptions[] = [
    SEEDED,
    { ...SEEDED, seed: 8 },
    { ...SEEDED, temperature: 0 },
    { ...SEEDED, temperature: 0.5, topK: 10, maxNewTokens: 12 },
    { ...SEEDED, repetitionPenalty: 1.3, maxNewTokens: 45 },
    // Too many candidates for the device.
    { ...SEEDED, topK: 0 },
    { ...SEEDED, ignoreEos: false, maxNewTokens: 200 },
    { ...SEEDED, seed: 9, stop: ["w1"] },
  ];
  const { alone, together: mixed } = await together(llm, requests);
  expect(mixed).toEqual(alone);
  const hostLogits = await loadFake({ endsEvery: 40 });
  expect((await together(hostLogits.llm, requests)).together).toEqual(alone);
  expect(ops.sampling!.open.size).toBe(0);
  await llm.dispose();
});

it("more rows than a stream draws take several", async () => {
  const { llm, ops } = await loadFake({ samples: true });
  const expected = [];
  for (let i = 0; i < 60; i++)
    expected.push((await collect(llm.generate(prompt(1), { ...SEEDED, seed: i, maxNewTokens: 5 }))).tokens);
  const results = await generateBatch(llm, [prompt(1)], { ...SEEDED, seed: 0, n: 60, maxNewTokens: 5 });
  expect(results.map(({ tokens }) => tokens)).toEqual(expected);
  expect(ops.sampling!.mostRows).toBe(48);
  await llm.dispose();
});

/** Even tokens and odd ones by turns. */
class ByTurns implements TokenConstraint {
  readonly #seen: number[];
  constructor(seen: number[] = []) {
    this.#seen = seen;
  }
  mask(logits: Float32Array): void {
    for (let token = 0; token < logits.length; token++) {
      if (token % 2 !== this.#seen.length % 2) logits[token] = Number.NEGATIVE_INFINITY;
    }
  }
  advance(token: number): void {
    this.#seen.push(token);
  }
  fork(): ByTurns {
    return new ByTurns([...this.#seen]);
  }
}

it("a constraint decides which tokens may follow, of each continuation by itself", async () => {
  for (const samples of [false, true]) {
    const { llm } = await loadFake({ samples });
    const free = (await collect(llm.generate(prompt(1), SEEDED))).tokens;
    expect(free.every((token, i) => token % 2 === i % 2)).toBe(false);
    for (const options of [SEEDED, { ...SEEDED, temperature: 0, logprobs: 3 }]) {
      const { tokens } = await collect(llm.generate(prompt(1), { ...options, constraint: new ByTurns() }));
      expect(tokens.map((token) => token % 2)).toEqual(tokens.map((_, i) => i % 2));
      const batch = await generateBatch(llm, [prompt(1), prompt(2)], { ...options, constraint: new ByTurns(), n: 2 });
      expect(batch[0]!.tokens).toEqual(tokens);
      for (const each of batch) expect(each.tokens.map((token) => token % 2)).toEqual(tokens.map((_, i) => i % 2));
    }
    const nothing: TokenConstraint = {
      mask: (l) => l.fill(Number.NEGATIVE_INFINITY),
      advance() {},
      fork: () => nothing,
    };
    await expect(collect(llm.generate(prompt(1), { ...SEEDED, constraint: nothing }))).rejects.toThrow(
      "constraint: it allows no token here",
    );
    expect(llm.cache.numBytes).toBe(0);
    await llm.dispose();
  }
});

it("an aborted batch rejects with the signal's reason and gives its pages back", async () => {
  const { llm } = await loadFake({ samples: true });
  const controller = new AbortController();
  const batch = generateBatch(llm, [prompt(1), prompt(2)], {
    ...SEEDED,
    maxNewTokens: 3000,
    signal: controller.signal,
  });
  setTimeout(() => controller.abort(new Error("enough")), 20);
  await expect(batch).rejects.toThrow("enough");
  expect(llm.cache.numBytes).toBe(0);
  await llm.dispose();
});
