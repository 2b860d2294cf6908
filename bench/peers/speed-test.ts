/** @file What a speed test is, and how ours runs it; the same in Node and in a page. */
import { decode, randomTokens } from "../../src/bench/throughput.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import type { LLM } from "../../src/engine/llm.ts";

/** Either a prompt that is read, or tokens that are generated, after `depth` tokens. */
export interface SpeedTest {
  readonly kv: string;
  readonly depth: number;
  readonly prompt: number;
  readonly generation: number;
}

/** returns: milliseconds; null where the cache could not be filled in time */
export type RunTest = (test: SpeedTest) => Promise<number | null>;

/** Tokens between two looks at the clock while a cache is filled. */
export const CHUNK = 512;

/** llm: with room for `longest` tokens; the formats of `kv` share its weights */
export async function ourTests(
  llm: LLM,
  { kv, longest, limitSeconds }: { kv: readonly string[]; longest: number; limitSeconds: number },
): Promise<RunTest> {
  const views = new Map<string, LLM>();
  for (const format of kv) views.set(format, views.size === 0 ? llm : await llm.withKv(format));
  const prefixes = new Map<string, Sequence>();
  const tokens = randomTokens(longest, llm.config.vocabSize);
  return async ({ kv: name, depth, prompt, generation }) => {
    const { runner, cache } = views.get(name)!;
    const prefix = prefixes.get(name) ?? cache.createSequence();
    prefixes.set(name, prefix);
    const deadline = performance.now() + 1000 * limitSeconds;
    while (prefix.length < depth) {
      if (performance.now() > deadline) return null;
      const next = tokens.subarray(prefix.length, Math.min(depth, prefix.length + CHUNK));
      await runner.prefill(prefix, next, { logits: "none" });
    }
    const sequence = prefix.fork();
    try {
      const next = tokens.subarray(depth);
      const began = performance.now();
      if (prompt > 0) await runner.prefill(sequence, next.subarray(0, prompt), { logits: "none" });
      await decode(runner, sequence, next.subarray(0, generation));
      return performance.now() - began;
    } finally {
      sequence.release();
    }
  };
}
