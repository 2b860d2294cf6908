/** @file Speculative decoding on wasm: text and log-probabilities, to the bit, and the bytes of a saved cache are those without, for every format and state. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { type GenerateOptions, LLM, type SpeculateOptions } from "../src/index.ts";
import { KINDS, OPTIONS, PROMPTS } from "./support/kinds-of-state.ts";
import { isThorough } from "./support/optional.ts";
import { seededSource } from "./support/seeded-checkpoint.ts";
import { checkpointPath } from "./support/shared.ts";

/** All formats and what may be said of a window; windows are short, so that tokens leave them. */
const SPECS = [
  "f16",
  "k4v4,window=32",
  "k3v3,window=32",
  "k2v2,window=24",
  "k4v4,window=16bit,window=32",
  "k4v4,window=0,sinks=0",
  "tiers=8:32,4:64,3",
  "k4v4,window=32,layers=0-1:f16",
  "paper-4",
  "q8_0",
  "kivi-4",
];

interface Outcome {
  readonly tokens: number[];
  readonly logprobs: number[];
  readonly file: Uint8Array;
  readonly bytes: number;
  readonly drafted: number;
  readonly accepted: number;
}

async function run(llm: LLM, prompt: readonly number[], options: GenerateOptions): Promise<Outcome> {
  const session = llm.createSession();
  const [tokens, logprobs]: [number[], number[]] = [[], []];
  let [drafted, accepted] = [0, 0];
  for await (const { token, logprob, usage } of session.generate(prompt, options)) {
    tokens.push(token!);
    logprobs.push(logprob!);
    drafted = usage?.draftedTokens ?? 0;
    accepted = usage?.acceptedTokens ?? 0;
  }
  const outcome = { tokens, logprobs, file: await session.save(), bytes: session.kvBytes, drafted, accepted };
  session.release();
  return outcome;
}

/** Drafts the answer, but for every `wrong`-th token of it. */
function oracle(prompt: readonly number[], answer: readonly number[], wrong: number): SpeculateOptions {
  const propose = async (tokens: readonly number[], most: number): Promise<number[]> => {
    const at = tokens.length - prompt.length;
    return answer.slice(at, at + most).map((token, i) => ((at + i) % wrong === wrong - 1 ? (token + 1) % 250 : token));
  };
  return { createSource: () => ({ propose, release() {} }), numSpeculativeTokens: 12 };
}

async function isSame(llm: LLM, prompt: readonly number[], options: GenerateOptions): Promise<void> {
  const { drafted: none, accepted: __, ...plain } = await run(llm, prompt, options);
  expect(none).toBe(0);
  // Short drafts that are wrong here and there, and long ones that are right.
  for (const wrong of [4, 1000]) {
    const speculate = oracle(prompt, plain.tokens, wrong);
    const { drafted, accepted, ...own } = await run(llm, prompt, { ...options, speculate });
    expect(own).toEqual(plain);
    expect(accepted).toBeGreaterThan(0);
    if (wrong === 4) expect(drafted).toBeGreaterThan(accepted);
    else expect(accepted).toBe(drafted);
  }
}

describe("formats", () => {
  let base: LLM;
  beforeAll(async () => {
    base = await LLM.load(checkpointPath("qwen3-1m")!, { kv: "f16", backend: "wasm", threads: 1 });
  });
  afterAll(() => base.dispose());

  it.each(SPECS)("%s", async (kv) => {
    const llm = await base.withKv(kv);
    // What is generated crosses the end of a page, and leaves windows.
    const prompt = Array.from({ length: 50 }, (_, i) => 5 + ((i * 7919 + i * i * 31) % 4000));
    const options = { maxNewTokens: isThorough ? 120 : 40, ignoreEos: true };
    await isSame(llm, prompt, { ...options, temperature: 0 });
    await isSame(llm, prompt, { ...options, temperature: 1, topK: 40, seed: 3 });
    expect(llm.cache.numBytes).toBe(0);
    await llm.dispose();
  });

  it("prompt lookup finds what a text repeats", async () => {
    const llm = await base.withKv("k4v4");
    const prompt = base.tokenizer.encode(
      "The cat sat on the mat. The dog sat on the log. The cat sat on the mat. The dog",
    );
    const options = { temperature: 0, ignoreEos: true, maxNewTokens: 60 };
    const plain = await run(llm, prompt, options);
    const own = await run(llm, prompt, { ...options, speculate: "prompt-lookup" });
    expect({ ...own, drafted: 0, accepted: 0 }).toEqual(plain);
    expect(own.accepted).toBeGreaterThan(0);
    await llm.dispose();
  });
});

it.each(KINDS)("%s", async (_, model, fields) => {
  const backend = await createWasmBackend({ threads: 1 });
  await using llm = await LLM.load(seededSource(model, fields), { kv: "k8v8,sinks=2,window=24", backend });
  // Two prompts that end before a page does; the answer to the second grows out of the length of training of one model.
  for (const prompt of [PROMPTS[1]!.slice(0, 58), PROMPTS[1]!]) {
    await isSame(llm, prompt, { ...OPTIONS, maxNewTokens: 14 });
  }
  expect(llm.cache.numBytes).toBe(0);
});
