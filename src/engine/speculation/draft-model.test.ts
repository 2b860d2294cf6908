/** A second model that drafts: the answer stays the first one's, and what the second reads it reads once. */
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import "../../node/install.ts";
import { FAKE_VOCAB } from "../../../test/support/fake-checkpoint.ts";
import { loadFake } from "../../../test/support/fake-ops.ts";
import { generateBatch } from "../batch.ts";
import { collect, type GenerateOptions } from "../generation.ts";
import type { LLM } from "../llm.ts";

const KV = "k4v4,window=32,sinks=4";
const PROMPT = Array.from({ length: 30 }, (_, i) => 300 + ((i * 7) % 40));
const GREEDY = { temperature: 0, ignoreEos: true, maxNewTokens: 60 } as const;
const SEEDED = { ...GREEDY, temperature: 0.9, topK: 30, topP: 0.9, seed: 7 } as const;

let llm: LLM;
/** Computes the same as the first. */
let twin: LLM;
/** Takes about every sixth token for the end. */
let other: LLM;
beforeAll(async () => {
  ({ llm } = await loadFake({}, { kv: KV }));
  ({ llm: twin } = await loadFake({}, { kv: "k4v4,window=16,window=8bit" }));
  ({ llm: other } = await loadFake({ endsEvery: 6 }, { kv: KV }));
});
afterAll(async () => {
  for (const each of [llm, twin, other]) {
    expect(each.cache.numBytes, "pages given back").toBe(0);
    await each.dispose();
  }
});

const answerOf = (options: GenerateOptions) => collect(llm.generate(PROMPT, options));

it.each<[string, GenerateOptions]>([
  ["greedy", GREEDY],
  ["seeded", SEEDED],
  ["all tokens", { ...SEEDED, topK: 0, topP: 1 }],
  ["penalties", { ...SEEDED, repetitionPenalty: 1.1 }],
])("%s: the same answer; a twin is always right, and draws the same numbers", async (name, options) => {
  const plain = await answerOf(options);
  const drafted = await answerOf({ ...options, speculate: { model: twin } });
  const mixed = await answerOf({ ...options, speculate: { model: other, numSpeculativeTokens: 3 } });
  for (const { tokens } of [drafted, mixed]) expect(tokens).toEqual(plain.tokens);
  const { draftedTokens, acceptedTokens } = drafted.usage;
  // A draft does not know of penalties.
  if (name === "penalties") expect(draftedTokens).toBeGreaterThan(0);
  else expect(acceptedTokens).toBe(draftedTokens);
  expect(mixed.usage.acceptedTokens).toBeLessThan(mixed.usage.draftedTokens!);
  expect(mixed.usage.acceptedTokens).toBeGreaterThan(0);
});

it("goes on with what it has read in the next turn, and behind a rewind", async () => {
  const [session, plain] = [llm.createSession(), llm.createSession()];
  const speculate = { model: twin, numSpeculativeTokens: 3 };
  const prefill = vi.spyOn(twin.runner, "prefill");
  /** Tokens that were read beside those that it drafted itself. */
  const read = (): number => prefill.mock.calls.splice(0).reduce((sum, [, tokens]) => sum + tokens.length, 0);
  const turn = async (prompt: readonly number[]): Promise<void> => {
    const [own, expected] = [
      await collect(session.generate(prompt, { ...GREEDY, speculate })),
      await collect(plain.generate(prompt, GREEDY)),
    ];
    expect(own.tokens).toEqual(expected.tokens);
    expect(own.usage.acceptedTokens).toBe(own.usage.draftedTokens);
  };
  const long = Array.from({ length: 400 }, (_, i) => 300 + ((i * 11) % 90));
  await turn(long);
  expect(read()).toBeGreaterThanOrEqual(399);
  await turn([400, 401]);
  expect(read()).toBeLessThan(60);
  const ids = session.tokens.slice(0, 410);
  for (const each of [session, plain]) each.rewindTo(ids);
  await turn(ids.slice(409));
  prefill.mockRestore();
  for (const each of [session, plain]) each.release();
  expect(twin.cache.numBytes).toBe(0);
});

it("in batches each continuation has its own", async () => {
  const plain = await generateBatch(llm, [PROMPT, PROMPT.slice(9)], { ...SEEDED, n: 2 });
  const drafted = await generateBatch(llm, [PROMPT, PROMPT.slice(9)], { ...SEEDED, n: 2, speculate: { model: twin } });
  expect(drafted.map(({ tokens }) => tokens)).toEqual(plain.map(({ tokens }) => tokens));
  for (const { usage } of drafted) expect(usage.acceptedTokens).toBe(usage.draftedTokens);
});

it("a draft model without room, or with a shorter context, drafts as long as it can", async () => {
  const { tokens } = await answerOf(GREEDY);
  for (const load of [{ kvBudgetBytes: 6000 }, { contextLength: 50 }]) {
    const small = (await loadFake({}, { kv: KV, ...load })).llm;
    const own = await answerOf({ ...GREEDY, speculate: { model: small } });
    expect(own.tokens).toEqual(tokens);
    expect(own.usage.draftedTokens).toBeLessThan(tokens.length / 2);
    expect(small.cache.numBytes).toBe(0);
    await small.dispose();
  }
});

it("another vocabulary is refused by its first token that differs, and two sources are", async () => {
  const stranger = { ...handOf(twin), name: "stranger" };
  const swapped = (id: number): number => (id === 301 ? 302 : id);
  const { tokenizer } = twin;
  const renamed = {
    vocabSize: FAKE_VOCAB,
    isSpecial: (id: number) => tokenizer.isSpecial(id),
    decode: (ids: number[]) => tokenizer.decode(ids.map(swapped)),
    tokenBytes: (id: number) => tokenizer.tokenBytes(swapped(id)),
  };
  await expect(
    answerOf({ ...GREEDY, speculate: { model: { ...stranger, tokenizer: renamed as never } } }),
  ).rejects.toThrow(
    'speculate: draft model stranger has another vocabulary: token 301 is " w302", expected " w301"; take a smaller model of the same family, or prompt-lookup',
  );
  const shorter = { ...renamed, vocabSize: 7 };
  await expect(
    answerOf({ ...GREEDY, speculate: { model: { ...stranger, tokenizer: shorter as never } } }),
  ).rejects.toThrow(`expected ${FAKE_VOCAB} tokens, got 7`);
  const createSource = () => ({ propose: async () => [], release() {} });
  await expect(answerOf({ ...GREEDY, speculate: { model: twin, createSource } })).rejects.toThrow("two sources");
});

const handOf = ({ name, runner, cache, tokenizer }: LLM) => ({ name, runner, cache, tokenizer });
