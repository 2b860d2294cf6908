/** Decoding ahead against decoding step by step: nothing a user can see may differ. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../node/install.ts";
import { type FakeOps, type FakeSampling, loadFake } from "../../../test/support/fake-ops.ts";
import { collect, type GenerateOptions } from "../generation.ts";
import type { LLM } from "../llm.ts";
import type { Session } from "../session.ts";

const PROMPT = "Once upon a time there was a little girl who lived";
/** A window and sinks smaller than a generation, so that 16-bit pages are dropped on the way. */
const KV = "k4v4,window=32,sinks=4";
const GREEDY = { temperature: 0, ignoreEos: true };
const SEEDED = { temperature: 0.9, topK: 30, topP: 0.9, seed: 7, ignoreEos: true };

interface Engine {
  readonly llm: LLM;
  readonly ops: FakeOps;
}

const load = (samples: boolean, kv = KV, kvBudgetBytes?: number): Promise<Engine> =>
  loadFake({ samples }, { kv, ...(kvBudgetBytes !== undefined && { kvBudgetBytes }) });

/** Runs a scenario on both engines; its results must be equal. */
async function same<T>(engines: readonly Engine[], scenario: (engine: Engine) => Promise<T>): Promise<T> {
  const [plain, ahead] = [await scenario(engines[0]!), await scenario(engines[1]!)];
  expect(ahead).toEqual(plain);
  for (const { llm, ops } of engines) {
    expect(llm.cache.numBytes, "pages given back").toBe(0);
    expect(ops.sampling?.open.size ?? 0, "streams closed").toBe(0);
  }
  return plain;
}

async function inSession<T>({ llm }: Pick<Engine, "llm">, use: (session: Session) => Promise<T>): Promise<T> {
  const session = llm.createSession();
  try {
    return await use(session);
  } finally {
    session.release();
  }
}

/** Everything of a generation but its times; logprobs of f32 and f64 sums are compared apart. */
async function run(session: Session, prompt: string, options: GenerateOptions) {
  const { text, tokens, finishReason, usage } = await collect(session.generate(prompt, options));
  return { text, tokens, finishReason, usage };
}

const state = async (session: Session) => ({
  tokens: [...session.tokens],
  length: session.sequence.length,
  kvBytes: session.kvBytes,
  file: await session.save(),
});

describe("decoding ahead", () => {
  let engines: readonly Engine[];
  let ops: FakeOps;
  let fake: FakeSampling;
  beforeAll(async () => {
    engines = [await load(false), await load(true)];
    ops = engines[1]!.ops;
    fake = ops.sampling!;
  });
  afterAll(async () => {
    for (const { llm } of engines) await llm.dispose();
  });

  it("gives the same tokens, text and saved session, greedy and seeded, and really runs ahead", async () => {
    for (const options of [GREEDY, SEEDED]) {
      fake.mostInFlight = 0;
      const before = fake.draws;
      await same(engines, (engine) =>
        inSession(engine, async (session) => [
          await run(session, PROMPT, { ...options, maxNewTokens: 70 }),
          await state(session),
          await run(session, " and then", { ...options, maxNewTokens: 9 }),
          await state(session),
        ]),
      );
      expect(fake.mostInFlight).toBe(3);
      expect(fake.draws - before, "no step is queued past the limit").toBe(69 + 8);
    }
  });

  it("keeps formats without a window, without sinks and without 16-bit pages the same", async () => {
    for (const kv of [
      "k4v4,window=0,sinks=4",
      "k3v3,window=16,sinks=0",
      "k8v8,window=0,sinks=0",
      "k4v4,window=8,window=8bit",
      "tiers=8:8,4:8,3",
    ]) {
      const pair = [await load(false, kv), await load(true, kv)];
      await same(pair, (engine) =>
        inSession(engine, async (session) => [
          await run(session, PROMPT, { ...SEEDED, maxNewTokens: 24 }),
          await state(session),
        ]),
      );
      for (const { llm } of pair) await llm.dispose();
    }
  });

  it("shows the same session at every token, and forks and files made on the way", async () => {
    await same(engines, (engine) =>
      inSession(engine, async (session) => {
        const seen: unknown[] = [];
        let fork: Session | undefined;
        for await (const { token, text } of session.generate(PROMPT, { ...SEEDED, maxNewTokens: 40 })) {
          seen.push([token, text, session.sequence.length, session.tokens.length]);
          if (seen.length === 17) fork = session.fork();
          if (seen.length === 20) seen.push(await session.save());
        }
        seen.push(await run(fork!, " but", { ...GREEDY, maxNewTokens: 12 }), await state(fork!), await state(session));
        fork!.release();
        return seen;
      }),
    );
  });

  it("ends at an end-of-sequence token or a stop string and goes on from there", async () => {
    const plain = await inSession(engines[0]!, (session) => run(session, PROMPT, { ...GREEDY, maxNewTokens: 40 }));
    for (const at of [1, 2, 11, 30]) {
      const eos = plain.tokens[at]!;
      const known = engines.map(({ llm }) => llm.eosTokens);
      for (const { llm } of engines) Object.assign(llm, { eosTokens: new Set([eos]) });
      await same(engines, (engine) =>
        inSession(engine, async (session) => [
          await run(session, PROMPT, { temperature: 0, maxNewTokens: 40 }),
          await state(session),
          await run(session, " He said", { ...SEEDED, maxNewTokens: 10 }),
          await state(session),
        ]),
      );
      for (const [i, { llm }] of engines.entries()) Object.assign(llm, { eosTokens: known[i] });
    }
    const stop = [plain.text.slice(20, 24)];
    const stopped = await same(engines, (engine) =>
      inSession(engine, async (session) => [
        await run(session, PROMPT, { ...GREEDY, maxNewTokens: 40, stop }),
        await state(session),
      ]),
    );
    expect(stopped[0]).toMatchObject({ finishReason: "stop" });
  });

  it("an abort or a loop left early takes the steps ahead back", async () => {
    for (const how of ["abort", "break"] as const) {
      for (const after of [1, 4, 15]) {
        await same(engines, (engine) =>
          inSession(engine, async (session) => {
            const controller = new AbortController();
            let pieces = 0;
            const options = { ...SEEDED, maxNewTokens: 40, signal: controller.signal };
            for await (const _ of session.generate(PROMPT, options)) {
              if (++pieces < after) continue;
              if (how === "break") break;
              controller.abort();
            }
            const left = await state(session);
            return [pieces, left, await run(session, " Then", { ...GREEDY, maxNewTokens: 6 }), await state(session)];
          }),
        );
      }
    }
  });

  it("sessions that decode at the same time do not mix", async () => {
    await same(engines, async (engine) => {
      const seeds = [1, 2, 3];
      return Promise.all(
        seeds.map((seed) =>
          inSession(engine, async (session) => [
            await run(session, PROMPT, { ...SEEDED, seed, maxNewTokens: 10 + 3 * seed }),
            await state(session),
          ]),
        ),
      );
    });
  });

  it("leaves penalties and reports of likely tokens to the host", async () => {
    const before = fake.draws;
    for (const options of [{ repetitionPenalty: 1.2 }, { logprobs: 2 }]) {
      await same(engines, (engine) =>
        inSession(engine, (session) => run(session, PROMPT, { ...SEEDED, ...options, maxNewTokens: 6 })),
      );
    }
    expect(fake.draws).toBe(before);
  });

  it("stops at the end of the context", async () => {
    await same(engines, async ({ llm }) => {
      const limit = llm.tokenizer.encode(PROMPT).length + 9;
      const known = llm.runner.contextLength;
      Object.assign(llm.runner, { contextLength: limit });
      const result = await inSession({ llm }, (s) => run(s, PROMPT, { ...GREEDY, maxNewTokens: 50 }));
      Object.assign(llm.runner, { contextLength: known });
      expect(result.tokens).toHaveLength(10);
      return result;
    });
  });

  it("runs out of memory at the same token", async () => {
    // Room for the prompt and one page of codes; a page more is asked for at position 64.
    const probe = await inSession(engines[0]!, async (session) => {
      await run(session, PROMPT, { ...GREEDY, maxNewTokens: 2 });
      return session.kvBytes;
    });
    const pair = [await load(false, KV, probe * 2), await load(true, KV, probe * 2)];
    const tokens = await same(pair, (engine) =>
      inSession(engine, async (session) => {
        const seen: unknown[] = [];
        const failure = (async () => {
          for await (const { token } of session.generate(PROMPT, { ...GREEDY, maxNewTokens: 1000 })) seen.push(token);
        })();
        await expect(failure).rejects.toMatchObject({ code: "out_of_memory" });
        return [seen, session.sequence.length, session.kvBytes, [...session.tokens]] as const;
      }),
    );
    expect(tokens[0].length).toBeGreaterThan(5);
    for (const { llm } of pair) await llm.dispose();
  });

  it("reports what goes wrong with a token when its turn comes, and the session can go on", async () => {
    const engine = engines[1]!;
    const expected = await inSession(engine, (session) => run(session, PROMPT, { ...GREEDY, maxNewTokens: 20 }));
    const first = fake.draws;
    const length = engine.llm.tokenizer.encode(PROMPT).length;
    for (const kind of ["device", "logits"] as const) {
      // The step of the seventh token: the first one comes from the prompt.
      if (kind === "device") ops.loseDeviceAt = ops.steps + Math.ceil(length / ops.chunkTokens) + 6;
      else ops.spoils = (_sequence, position) => position >= length + 5;
      await inSession(engine, async (session) => {
        const seen: unknown[] = [];
        const failure = (async () => {
          for await (const { token } of session.generate(PROMPT, { ...GREEDY, maxNewTokens: 20 })) seen.push(token);
        })();
        await expect(failure).rejects.toThrow(kind === "device" ? "it was lost" : "not finite (token 0: NaN)");
        expect(seen).toEqual(expected.tokens.slice(0, 6));
        ops.loseDeviceAt = Number.POSITIVE_INFINITY;
        ops.spoils = () => false;
        expect((await run(session, " Then", { ...GREEDY, maxNewTokens: 3 })).tokens).toHaveLength(3);
      });
    }
    expect(fake.draws).toBeGreaterThan(first);
    expect(fake.open.size).toBe(0);
  });
});
