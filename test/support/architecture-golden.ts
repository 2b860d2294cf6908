/** @file Tiny checkpoints of architectures with golden numbers of Transformers, and what agreeing with them means. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { LLM } from "../../src/index.ts";

/** golden.json of a checkpoint, computed in f32. */
export interface ArchitectureGolden {
  readonly ids: readonly number[];
  /** Length of the logits of every position. */
  readonly logit_l2: readonly number[];
  /** Tokens whose logits are given for every position. */
  readonly probe: readonly number[];
  readonly probe_logits: readonly (readonly number[])[];
  readonly greedy: readonly number[];
  /** Between the best two logits of each greedy token. */
  readonly margins: readonly number[];
}

export const goldenOf = (path: string): ArchitectureGolden =>
  JSON.parse(readFileSync(join(path, "golden.json"), "utf8")) as ArchitectureGolden;

/** Feeds all ids in pieces of `chunk` tokens and compares probes and lengths of the logits of every position, then greedy tokens. */
export async function expectGolden(llm: LLM, golden: ArchitectureGolden, chunk: number, numGreedy = 24): Promise<void> {
  const { ids, probe } = golden;
  const vocab = llm.config.vocabSize;
  const sequence = llm.cache.createSequence();
  let row = 0;
  let logits: Float32Array = new Float32Array(0);
  for (let start = 0; start < ids.length; start += chunk) {
    const tokens = ids.slice(start, start + chunk);
    logits = await llm.runner.prefill(sequence, tokens, { logits: "all" });
    for (let i = 0; i < tokens.length; i++, row++) {
      const own = logits.subarray(i * vocab, (i + 1) * vocab);
      const l2 = golden.logit_l2[row]!;
      // An `expect` for each of hundreds of thousands of numbers would take longer than the models.
      const length = Math.abs(Math.sqrt(own.reduce((sum, value) => sum + value * value, 0)) / l2 - 1);
      if (!(length < 2e-3)) expect(length, `length of logits at ${row}`).toBeLessThan(2e-3);
      const bound = 5e-3 * Math.max(1, l2 / Math.sqrt(vocab));
      for (const [n, token] of probe.entries()) {
        const difference = Math.abs(own[token]! - golden.probe_logits[row]![n]!);
        if (!(difference < bound)) expect(difference, `logit of ${token} at ${row}`).toBeLessThan(bound);
      }
    }
  }
  let last: Float32Array = logits.subarray(logits.length - vocab);
  for (let n = 0; n < numGreedy; n++) {
    const best = last.reduce((most, value, token) => (value > last[most]! ? token : most), 0);
    // Where the two best are that close, f32 may choose either.
    if (best !== golden.greedy[n] && golden.margins[n]! < 0.02) break;
    expect(best, `greedy token ${n}`).toBe(golden.greedy[n]);
    if (n + 1 < numGreedy) last = await llm.runner.step([{ sequence, tokens: [best], logits: "last" }]);
  }
  sequence.release();
}
