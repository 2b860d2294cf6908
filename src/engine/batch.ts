/** @file Generates several continuations together: of many prompts, or many of one prompt. */
import { collect, type GenerateOptions, type GenerationChunk, type GenerationResult } from "./generation.ts";
import type { LLM } from "./llm.ts";
import type { ScheduledChunk } from "./scheduler/request.ts";
import { Scheduler } from "./scheduler/scheduler.ts";

export interface BatchOptions extends GenerateOptions {
  /** Number of continuations for each prompt, each with a random stream of its own; default 1. */
  readonly n?: number;
  /** Called with each token of any continuation. */
  readonly onToken?: () => void;
}

/**
 * Generates for all prompts at once. Each prompt is read once and forked `n` times, and all continuations share their steps.
 * returns: results in the order of prompts, then of continuations
 * @throws the reason of `signal` when it is aborted · as `Scheduler.generate`
 */
export async function generateBatch(
  llm: LLM,
  prompts: readonly (string | ArrayLike<number>)[],
  options: BatchOptions = {},
): Promise<GenerationResult[]> {
  const { onToken, ...generate } = options;
  const { n = 1, signal } = generate;
  const bound = { ...(await llm.bind(generate)), n };
  const scheduler = new Scheduler(llm, {
    prefixCache: false,
    maxRunning: Math.max(1, prompts.length * n),
    maxWaiting: prompts.length,
  });
  try {
    signal?.throwIfAborted();
    const streams = prompts.map((prompt) => {
      const ids = typeof prompt === "string" ? llm.tokenizer.encode(prompt) : prompt;
      return collectEach(scheduler.generate(ids, bound), n, onToken);
    });
    const results = await Promise.all(streams);
    signal?.throwIfAborted();
    return results.flat();
  } finally {
    await scheduler.close();
    // Continuations have forks of it.
    if (options.constraint === undefined) bound.constraint?.release?.();
  }
}

/** Collects the results of a prompt's continuations. */
async function collectEach(
  chunks: AsyncIterable<ScheduledChunk>,
  n: number,
  onToken: (() => void) | undefined,
): Promise<GenerationResult[]> {
  const each = Array.from({ length: n }, (): GenerationChunk[] => []);
  for await (const { index, ...chunk } of chunks) {
    each[index]!.push(chunk);
    if (chunk.token !== undefined) onToken?.();
  }
  return Promise.all(each.map((own) => collect(own)));
}
