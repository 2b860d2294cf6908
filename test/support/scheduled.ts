/** @file For tests of the scheduler: what a request said, alone and in company. */
import { expect } from "vitest";
import "../../src/node/install.ts";
import { createWasmBackend } from "../../src/backends/wasm/backend.ts";
import { LLM } from "../../src/engine/llm.ts";
import type { ScheduledChunk, ScheduleOptions } from "../../src/engine/scheduler/request.ts";
import { Scheduler } from "../../src/engine/scheduler/scheduler.ts";
import type { SchedulerOptions } from "../../src/engine/scheduler/scheduler-options.ts";
import { type FakeOptions, loadFake } from "./fake-ops.ts";

const MODEL = "qwen3-1m";
export const SEEDED = { temperature: 0.9, topK: 40, seed: 11, ignoreEos: true } as const;

/** Tokens, log-probabilities and text of each continuation: equal only if every bit of every logit was. */
export interface Answer {
  tokens: number[];
  logprobs: number[];
  text: string;
  finish: string | undefined;
  cached: number | undefined;
}

export async function answers(stream: AsyncIterable<ScheduledChunk>): Promise<Answer[]> {
  const all: Answer[] = [];
  for await (const { index, token, logprob, text, finishReason, usage } of stream) {
    const own = (all[index] ??= { tokens: [], logprobs: [], text: "", finish: undefined, cached: undefined });
    if (token !== undefined) own.tokens.push(token);
    if (logprob !== undefined) own.logprobs.push(logprob);
    own.text += text;
    own.finish ??= finishReason;
    own.cached ??= usage?.cachedTokens;
  }
  return all;
}

export const said = ({ tokens, logprobs, text, finish }: Answer) => ({ tokens, logprobs, text, finish });

/** Tokens that each of the models has, at random, so that no prompt resembles another by chance. */
export function randomPrompt(length: number, seed: number): number[] {
  let state = seed * 2654435761 + 1;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 10 + (state % 1000);
  });
}

export async function alone(llm: LLM, ids: readonly number[], options: ScheduleOptions): Promise<Answer> {
  const [answer] = await answers(
    (async function* () {
      const { client: _, cachePrompt: __, n: ___, ...rest } = options;
      for await (const chunk of llm.generate(ids, rest)) yield { ...chunk, index: 0 };
    })(),
  );
  return answer!;
}

export async function withScheduler<T>(
  llm: LLM,
  options: SchedulerOptions,
  use: (scheduler: Scheduler) => Promise<T>,
): Promise<T> {
  const scheduler = new Scheduler(llm, options);
  try {
    return await use(scheduler);
  } finally {
    await scheduler.close();
    expect(llm.cache.numBytes, "every page was given back").toBe(0);
  }
}

export interface Subject {
  readonly kv: string;
  /** The fake backend, as which it is treated; else a real model on wasm. */
  readonly fake?: FakeOptions;
  /** Bytes of each memory of the real model, which is cut where they are full; default: as many as a memory can have. */
  readonly memoryLimitBytes?: number;
}

export const loadSubject = async (subject: Subject, kvBudgetBytes?: number): Promise<LLM> => {
  const { kv, fake, memoryLimitBytes } = subject;
  const load = { kv, ...(kvBudgetBytes !== undefined && { kvBudgetBytes }) };
  if (fake) return (await loadFake(fake, load)).llm;
  const backend = await createWasmBackend({ threads: 1, ...(memoryLimitBytes !== undefined && { memoryLimitBytes }) });
  return LLM.load(MODEL, { ...load, backend });
};

/** Models on real kernels and on the fake backend; what a caller sees must hold on all of them. */
export const SUBJECTS: [string, Subject][] = [
  ["k4v4", { kv: "k4v4" }],
  ["k3v3,sinks=0,window=0 in three memories", { kv: "k3v3,sinks=0,window=0", memoryLimitBytes: 17e6 }],
  ["f16", { kv: "f16" }],
  ["fake k4v4", { kv: "k4v4", fake: {} }],
  ["fake f16", { kv: "f16", fake: { isRowInvariant: false } }],
  ["fake k4v4, drawn on the device", { kv: "k4v4", fake: { samples: true } }],
];
