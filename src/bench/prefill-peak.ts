/** @file Measures how far resident memory grows while a prompt is read. A dequantized copy of the history would show here. */
import { Runner } from "../engine/runner.ts";
import type { BenchModel } from "./bench-model.ts";
import { randomTokens } from "./throughput.ts";

/** Resident memory of the process; an interface, because only the caller can ask the operating system. */
export interface ResidentGauge {
  /** Bytes now, after a garbage collection. */
  bytesAfterGc(): number;
  resetPeak(): void;
  /** Reads the present bytes for `peak`, on systems that do not record a peak themselves. */
  sample(): void;
  /** The most bytes since `resetPeak`. */
  peak(): number;
}

export interface PrefillPeakOptions {
  readonly kv: string;
  readonly tokens: number;
  readonly memory: ResidentGauge;
  readonly signal?: AbortSignal;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

export interface PrefillPeak {
  readonly kv: string;
  readonly tokens: number;
  readonly kvBytes: number;
  readonly storageBytes: number;
  /** Peak of resident memory during the prefill, minus that before it. */
  readonly peakGrowthBytes: number;
}

/** Rows of a prefill step, as in `LLM`. */
const CHUNK_TOKENS = 256;

/** Runs a first prefill before memory is read, so that activations and pages exist and the growth is that of the history alone. */
export async function peakOfPrefill(model: BenchModel, options: PrefillPeakOptions): Promise<PrefillPeak> {
  const { kv, tokens, memory, signal, onProgress } = options;
  const [decoder] = await model.decoders([kv]);
  const runner = new Runner(decoder!, { chunkTokens: CHUNK_TOKENS, contextLength: Math.max(tokens, CHUNK_TOKENS) });
  const cache = decoder!.createCache();
  const ids = randomTokens(Math.max(tokens, CHUNK_TOKENS), model.config.vocabSize);
  const warmUp = cache.createSequence();
  await runner.prefill(warmUp, ids.subarray(0, CHUNK_TOKENS), { signal });
  warmUp.release();
  const sequence = cache.createSequence();
  const before = memory.bytesAfterGc() - cache.storageBytes;
  memory.resetPeak();
  await runner.prefill(sequence, ids.subarray(0, tokens), {
    signal,
    onProgress: (done, total) => {
      memory.sample();
      onProgress?.(`prefill into ${kv}`, done, total);
    },
  });
  const peak = memory.peak();
  const result = { kvBytes: sequence.numBytes, storageBytes: cache.storageBytes };
  sequence.release();
  decoder!.dispose();
  return { kv, tokens, ...result, peakGrowthBytes: peak - before };
}
