/** @file Every kind of layer state goes through a store and back: an engine that fetches a prefix says what one says that computes it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KINDS } from "../../../test/support/kinds-of-state.ts";
import { MemoryStore } from "../../../test/support/memory-store.ts";
import { isThorough } from "../../../test/support/optional.ts";
import { answers, SEEDED, said } from "../../../test/support/scheduled.ts";
import { seededSource } from "../../../test/support/seeded-checkpoint.ts";
import { createWasmBackend } from "../../backends/wasm/backend.ts";
import { LLM } from "../llm.ts";
import { Scheduler } from "../scheduler/scheduler.ts";

const PROMPT = Array.from({ length: 300 }, (_, i) => (i * 37 + 101 + ((i * i) % 11)) % 250);
const KV = "k8v8,sinks=2,window=24";
const SOME = [
  "sliding windows",
  "short convolutions",
  "latent rows",
  "rows of several tokens beside a window",
  "ropes of the length",
];

/** Formats of the first kind, behind the one that all kinds have. */
const FORMATS = ["k4v4,window=8bit", "k4v4,window=0,sinks=0", "f16", "tiers=16:32,8:64,4"];
const kinds = KINDS.filter(([kind]) => isThorough || SOME.includes(kind));
const cases = [
  ...FORMATS.map((kv) => [kv, KINDS[0]!, kv] as const),
  ...kinds.map((kind) => [kind[0], kind, KV] as const),
];

describe.each(cases)("%s", (_, [, model, fields], kv) => {
  const store = new MemoryStore();
  const llms: LLM[] = [];
  beforeAll(async () => {
    for (let i = 0; i < 2; i++) {
      const backend = await createWasmBackend({ threads: 1 });
      llms.push(await LLM.load(seededSource(model, fields), { kv, backend }));
    }
  });
  afterAll(async () => {
    for (const llm of llms) await llm.dispose();
  });

  it("is continued from by another engine", async () => {
    const told = [];
    for (const llm of llms) {
      const scheduler = new Scheduler(llm, { pageStore: { store, fetch: "always" } });
      const [answer] = await answers(scheduler.generate(PROMPT, { ...SEEDED, maxNewTokens: 8 }));
      await scheduler.drain();
      await scheduler.close();
      expect(llm.cache.numBytes, "every page was given back").toBe(0);
      told.push(answer!);
    }
    expect(told.map(({ cached }) => cached)).toEqual([0, 256]);
    expect(said(told[1]!)).toEqual(said(told[0]!));
  });
});
