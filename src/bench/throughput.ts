/** @file Times prefill and decode of a whole model at given depths, in llama-bench's terms (`pp512`, `tg128 @ d4096`). */
import type { Draw } from "../backends/sampling-ops.ts";
import type { KvCache } from "../cache/kv-cache.ts";
import type { Sequence } from "../cache/sequence.ts";
import { makeRoomForPrompt } from "../engine/expect-pages.ts";
import { Runner } from "../engine/runner.ts";
import { type LoopRow, StepLoop } from "../engine/step-loop/step-loop.ts";
import { yieldNow } from "../engine/yield-now.ts";
import { CounterRng } from "../math/rng.ts";
import type { Decoder } from "../models/decoder.ts";
import type { BenchModel } from "./bench-model.ts";
import { RandomFill } from "./random-fill.ts";
import { FILL_ROWS, fillStep } from "./random-kv.ts";
import { interleave, type Summary, summarize } from "./samples.ts";

export interface ThroughputOptions {
  /** Prompt lengths to time (`pp`), in tokens. */
  readonly prompts: readonly number[];
  /** Generation lengths to time (`tg`), in tokens. */
  readonly generations: readonly number[];
  /** Numbers of tokens in the cache before a test. */
  readonly depths: readonly number[];
  readonly kv: readonly string[];
  readonly repeats: number;
  /** How the cache is filled before a test: by a prefill of the model, or with random rows, which needs no attention. */
  readonly fill?: "prefill" | "random";
  readonly signal?: AbortSignal;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

export interface ThroughputRow {
  readonly test: string;
  readonly kv: string;
  readonly nPrompt: number;
  readonly nGen: number;
  readonly depth: number;
  /** Allocated bytes of the sequence at the end of a repeat. */
  readonly kvBytes: number;
  /** Wall time of each repeat in milliseconds. */
  readonly samplesMs: readonly number[];
  readonly tokPerSec: Summary;
}

/** Tokens of a warm-up: enough to compile kernels, to grow buffers and to wake threads. */
const WARM_UP = { prompt: 64, generation: 2 };
const GREEDY: Draw = { temperature: 0, topK: 0, topP: 1, minP: 0 };
/** Stream of the counter-based RNG. */
const STREAM_TOKENS = 0xbe7c;

/** Decodes like a greedy session: tokens are sampled on the device if it can, otherwise given while their logits are read back. */
export async function decode(
  runner: Runner,
  sequence: Sequence,
  tokens: Int32Array,
  signal?: AbortSignal,
): Promise<void> {
  let fed = 0;
  const all = Array.from({ length: sequence.length }, () => 0);
  const row: LoopRow = {
    tokens: all,
    sequence,
    continuation: { draw: GREEDY, completionTokens: 1, uniform: () => 0, left: () => tokens.length - fed },
  };
  const loop = new StepLoop(runner);
  try {
    all.push(tokens[0]!);
    for (; fed < tokens.length; fed++) {
      signal?.throwIfAborted();
      const steps = loop.ahead.length > 0 ? loop.next(true) : loop.step([{ row, count: 1, logits: "last" }]);
      const [outcome] = await steps;
      all.push(outcome!.sample?.token ?? tokens[fed + 1] ?? 0);
    }
  } finally {
    loop.close();
  }
}

/** For example `tg128 @ d4096`. */
export function testName(nPrompt: number, nGen: number, depth: number): string {
  const name = nPrompt > 0 ? `pp${nPrompt}` : `tg${nGen}`;
  return depth > 0 ? `${name} @ d${depth}` : name;
}

/** Random tokens. Their values do not matter to speed, but repeating one token would. */
export function randomTokens(count: number, vocabSize: number, seed = 1): Int32Array {
  const rng = new CounterRng(seed, STREAM_TOKENS);
  return Int32Array.from({ length: count }, (_, i) => Math.floor(rng.uniform(i) * vocabSize));
}

interface Subject {
  readonly kv: string;
  readonly runner: Runner;
  readonly cache: KvCache;
  /** The first `depth` tokens. They are forked for every repeat, which costs one page. */
  readonly prefix: Sequence;
  kvBytes: number;
}

/** Yields rows as they are finished; the formats of a test come together. */
export async function* benchThroughput(model: BenchModel, options: ThroughputOptions): AsyncGenerator<ThroughputRow> {
  const { prompts, generations, depths, kv, repeats, signal, onProgress } = options;
  const longest = Math.max(0, ...depths) + Math.max(0, ...prompts, ...generations, WARM_UP.prompt);
  const decoders = await model.decoders(kv);
  const subjects: Subject[] = decoders.map((decoder, i) => {
    const cache = decoder.createCache();
    return {
      kv: kv[i]!,
      // Speed does not depend on the context the model was trained for, so depths may exceed it.
      runner: new Runner(decoder, { contextLength: longest }),
      cache,
      prefix: cache.createSequence(),
      kvBytes: 0,
    };
  });
  const tokens = randomTokens(longest, model.config.vocabSize);
  const random = options.fill === "random" ? new RandomFill() : null;
  try {
    for (const depth of [...depths].sort((a, b) => a - b)) {
      for (const { kv: name, runner, prefix } of subjects) {
        const filling = (done: number): void => onProgress?.(`filling ${name} to d${depth}`, done, depth);
        if (random) {
          await fillAtRandom(random, runner.decoder, prefix, depth, { filling, signal });
          continue;
        }
        await runner.prefill(prefix, tokens.subarray(prefix.length, depth), {
          logits: "none",
          signal,
          onProgress: filling,
        });
      }
      const tests = [
        ...prompts.map((nPrompt) => ({ nPrompt, nGen: 0 })),
        ...generations.map((nGen) => ({ nPrompt: 0, nGen })),
      ];
      for (const { nPrompt, nGen } of tests) {
        const test = testName(nPrompt, nGen, depth);
        const time = async (subject: Subject, prompt: number, generation: number): Promise<number> => {
          const sequence = subject.prefix.fork();
          try {
            const next = tokens.subarray(depth);
            const started = performance.now();
            if (prompt > 0) await subject.runner.prefill(sequence, next.subarray(0, prompt), { signal });
            await decode(subject.runner, sequence, next.subarray(0, generation), signal);
            const elapsed = performance.now() - started;
            subject.kvBytes = sequence.numBytes;
            return elapsed;
          } finally {
            sequence.release();
          }
        };
        for (const subject of subjects) {
          await time(subject, Math.min(nPrompt, WARM_UP.prompt), Math.min(nGen, WARM_UP.generation));
        }
        const samples = await interleave(
          subjects,
          repeats,
          (subject) => time(subject, nPrompt, nGen),
          (done, total) => onProgress?.(test, done, total),
        );
        for (const [i, subject] of subjects.entries()) {
          const samplesMs = samples[i]!;
          yield {
            test,
            kv: subject.kv,
            nPrompt,
            nGen,
            depth,
            kvBytes: subject.kvBytes,
            samplesMs,
            tokPerSec: summarize(samplesMs.map((ms) => ((nPrompt + nGen) * 1000) / ms)),
          };
        }
      }
    }
  } finally {
    for (const { prefix } of subjects) prefix.release();
    random?.dispose();
    for (const decoder of decoders) decoder.dispose();
  }
}

async function fillAtRandom(
  random: RandomFill,
  decoder: Decoder,
  sequence: Sequence,
  depth: number,
  { filling, signal }: { filling: (done: number) => void; signal: AbortSignal | undefined },
): Promise<void> {
  makeRoomForPrompt(sequence, depth - sequence.length, FILL_ROWS);
  while (sequence.length < depth) {
    signal?.throwIfAborted();
    const count = Math.min(FILL_ROWS, depth - sequence.length);
    sequence.reserve(count);
    const step = fillStep(sequence, sequence.length, count);
    random.append(step, decoder);
    sequence.commit(count);
    filling(sequence.length);
    await yieldNow();
  }
}
