/** @file Sequences of a model with latent attention: forked, cut, saved and restored, in batches. What its numbers are is in architectures.test.ts. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { captureVectors } from "../src/eval/tap.ts";
import { LLM, type Session } from "../src/index.ts";
import { sharedPath } from "./support/shared.ts";

const root = sharedPath("fixtures2");
const TOKENS = Array.from({ length: 170 }, (_, i) => (i * 37) % 250);

describe.skipIf(!root)(`latent attention${root ? "" : " (fixtures2 not present)"}`, () => {
  it("a fork, a cut, a restored and a batched sequence give the bits of one that was never longer", async () => {
    await using llm = await LLM.load(join(root!, "minicpm3"), {
      kv: "k4v4,sinks=4,window=32",
      backend: "wasm",
      threads: 1,
    });
    const sequence = llm.cache.createSequence();
    await llm.runner.prefill(sequence, TOKENS.slice(0, 100), { logits: "none" });
    sequence.mark();
    const fork = sequence.fork();
    const expected = await llm.runner.prefill(sequence, TOKENS.slice(100), { logits: "last" });
    expect(await llm.runner.prefill(fork, TOKENS.slice(100), { logits: "last" })).toEqual(expected);
    expect(sequence.cutTo(100)).toBe(100);
    const other = llm.cache.createSequence();
    await llm.runner.prefill(other, TOKENS.slice(0, 30), { logits: "none" });
    const both = await llm.runner.step([
      { sequence: other, tokens: [7], logits: "last" },
      { sequence, tokens: TOKENS.slice(100), logits: "last" },
    ]);
    expect(both.slice(llm.config.vocabSize)).toEqual(expected);
    for (const each of [sequence, fork, other]) each.release();
    expect(llm.cache.numBytes).toBe(0);
  });

  it("a saved session goes on where it was", async () => {
    await using llm = await LLM.load(join(root!, "minicpm3"), { kv: "k8v8,window=16", backend: "wasm", threads: 1 });
    const options = { maxNewTokens: 8, ignoreEos: true };
    const say = async (session: Session, prompt: string): Promise<readonly number[]> => {
      for await (const _ of session.generate(prompt, options));
      return session.tokens;
    };
    const session = llm.createSession();
    await say(session, "A latent row");
    const bytes = await session.save();
    const restored = llm.restore(bytes);
    expect(await restored.save()).toEqual(bytes);
    expect(await say(restored, " is key and value.")).toEqual(await say(session, " is key and value."));
  });

  it("is refused by name where vectors of heads are looked at", async () => {
    await using llm = await LLM.load(join(root!, "minicpm3"), { kv: "k4v4", backend: "wasm", threads: 1 });
    await expect(captureVectors(llm, Int32Array.of(1, 2))).rejects.toThrow(
      /latent attention has no keys and values of heads/,
    );
  });
});
