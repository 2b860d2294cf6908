/** @file Every kind of layer state under everything that sequences can do, on wasm (support/kinds-of-state.ts). */
import { expect, it } from "vitest";
import "../src/node/install.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { KvState } from "../src/cache/states/kv-state.ts";
import { growingSequence } from "../src/eval/allocated-bytes.ts";
import { collect, LLM } from "../src/index.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import { describeKinds, KINDS, longRope, OPTIONS, PROMPTS, SIMILAR } from "./support/kinds-of-state.ts";
import { type Answer, alone, answers, withScheduler } from "./support/scheduled.ts";
import { seededModel, seededSource } from "./support/seeded-checkpoint.ts";

describeKinds(KINDS, () => createWasmBackend({ threads: 1 }));

it("a prefix is shared between prompts whose ropes are the same, and a session that outgrew them begins again", async () => {
  const fields = { rope_parameters: longRope };
  const backend = await createWasmBackend({ threads: 1 });
  await using llm = await LLM.load(seededSource("phi3", fields), { kv: "k8v8,window=24", backend });
  const prompts = [
    PROMPTS[2]!.slice(0, 90),
    PROMPTS[2]!,
    [...PROMPTS[2]!.slice(0, 70), 1, 2, 3, 4, 5, 6, 7, 8],
    SIMILAR,
  ];
  const expected: Answer[] = [];
  for (const ids of prompts) expected.push(await alone(llm, ids, OPTIONS));
  await withScheduler(llm, { chunkTokens: 64 }, async (scheduler) => {
    const cached: (number | undefined)[] = [];
    for (const [i, ids] of prompts.entries()) {
      const [answer] = await answers(scheduler.generate(ids, OPTIONS));
      expect(answer).toMatchObject({ tokens: expected[i]!.tokens });
      cached.push(answer!.cached);
    }
    expect(cached).toEqual([0, 0, 64, 128]);
  });
  const session = llm.createSession();
  await collect(session.generate(PROMPTS[2]!.slice(0, 95), OPTIONS));
  const bytes = await session.save();
  for (const own of [session, llm.restore(bytes)]) {
    const kept = own.rewindTo(PROMPTS[2]!);
    const again = await collect(own.generate(PROMPTS[2]!.slice(kept), OPTIONS));
    expect(again.tokens).toEqual(expected[1]!.tokens);
    expect(again.usage.rereadTokens).toBe(95);
    own.release();
  }
});

it.each(KINDS.filter(([, , fields]) => "sliding_window" in fields || "attention_chunk_size" in fields))(
  "%s: no more than a window and a page, however long the sequence",
  (_kind, model, fields) => {
    const { config } = seededModel(model);
    const grow = growingSequence(
      parseModelConfig({ ...config, ...fields }, "config.json"),
      parseKvSpec("k8v8,sinks=4,window=32"),
    );
    for (const tokens of [64, 81, 144, 145, 192, 300, 513, 1000, 5000]) {
      const windows = grow(tokens).states.flatMap((state) =>
        state instanceof KvState && state.layer.reach.slidingWindow > 0 ? state : [],
      );
      expect(windows.length).toBeGreaterThan(0);
      for (const { numBytes, layer } of windows) {
        // Two pages for 80 tokens and one more; 16-bit pages of 16: one of sinks, two for the residual window and one more.
        const most = 3 * layer.main.numBytes + 4 * layer.residual!.layout.numBytes;
        expect(numBytes, `${tokens} tokens`).toBeLessThanOrEqual(most);
      }
    }
  },
);
