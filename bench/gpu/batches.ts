/** @file Tokens a second of several sequences that are decoded together, random weights in a public shape. */
import { makeShapeModel } from "../../src/bench/bench-model.ts";
import { summarize } from "../../src/bench/samples.ts";
import { randomTokens } from "../../src/bench/throughput.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import { Runner } from "../../src/engine/runner.ts";
import { type LoopRow, StepLoop } from "../../src/engine/step-loop/step-loop.ts";

const TOKENS = 32;
const REPEATS = 10;

export interface BatchOptions {
  readonly shape: string;
  readonly weights: "f16" | "bf16" | "q8" | "q4";
  readonly kv: readonly string[];
  /** Numbers of sequences. */
  readonly streams: readonly number[];
  /** Tokens of each sequence, which are its own, before the first one that is timed. */
  readonly context: number;
}

/** Decodes `count` tokens of each sequence, drawn on the device. */
export async function decodeTogether(runner: Runner, sequences: readonly Sequence[], count: number): Promise<void> {
  const rows = sequences.map((sequence): LoopRow & { readonly tokens: number[] } => {
    const tokens = Array.from({ length: sequence.length + 1 }, () => 1);
    const end = tokens.length + count;
    const draw = { temperature: 0, topK: 0, topP: 1, minP: 0 };
    const left = (length: number): number => end - length;
    return { tokens, sequence, continuation: { draw, completionTokens: 1, uniform: () => 0, left } };
  });
  const loop = new StepLoop(runner);
  try {
    for (let n = 0; n < count; n++) {
      const spans = rows.map((row) => ({ row, count: 1, logits: "last" as const }));
      const outcomes = await (loop.ahead.length > 0 ? loop.next(true) : loop.step(spans));
      for (const [i, { sample }] of outcomes.entries()) rows[i]!.tokens.push(sample!.token);
    }
  } finally {
    loop.close();
  }
}

export async function* measureBatches(options: BatchOptions): AsyncGenerator<object> {
  const { shape, weights, kv, streams, context } = options;
  const model = await makeShapeModel(shape, { backend: "webgpu", weights });
  try {
    const length = context + REPEATS * TOKENS + 1;
    for (const format of kv) {
      const [decoder] = await model.decoders([format]);
      const cache = decoder!.createCache();
      const runner = new Runner(decoder!, { contextLength: length });
      const prompts = Array.from({ length: Math.max(...streams) }, () => cache.createSequence());
      for (const [i, sequence] of prompts.entries()) {
        await runner.prefill(sequence, randomTokens(context, model.config.vocabSize, i + 1), { logits: "none" });
      }
      for (const count of streams) {
        // They go on where they were: forks would copy their last pages, which no server does for a token.
        const together = prompts.slice(0, count);
        const run = async (): Promise<number> => {
          const started = performance.now();
          await decodeTogether(runner, together, TOKENS);
          return performance.now() - started;
        };
        // Once over the whole length, so that pages have been allocated, as those of a server have.
        for (let i = 0; i < REPEATS; i++) await run();
        for (const sequence of together) sequence.trim(context);
        const samples: number[] = [];
        const cpu = process.cpuUsage();
        for (let i = 0; i < REPEATS; i++) samples.push(await run());
        const { median, min, max } = summarize(samples.map((ms) => (count * TOKENS * 1000) / ms));
        const { user, system } = process.cpuUsage(cpu);
        const cpuMsPerStep = Math.round((user + system) / REPEATS / TOKENS / 10) / 100;
        const row = { kind: "batch", shape, weights, kv: format, streams: count, context };
        yield { ...row, tokPerSec: median, minTokPerSec: min, maxTokPerSec: max, cpuMsPerStep, repeats: REPEATS };
        for (const sequence of together) sequence.trim(context);
      }
      for (const sequence of prompts) sequence.release();
      decoder!.dispose();
    }
  } finally {
    await model.dispose();
  }
}
