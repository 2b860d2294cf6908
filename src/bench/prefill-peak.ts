/** @file How far resident memory grows while a prompt is read: a dequantized history would show here. */
import { Runner } from "../engine/runner.ts";
import type { BenchModel } from "./bench-model.ts";
import { randomTokens } from "./throughput.ts";

export interface PrefillPeakOptions {
  readonly kv: string;
  readonly tokens: number;
  /** Resident bytes of the process, from whoever can ask the operating system. */
  readonly residentBytes: () => number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

export interface PrefillPeak {
  readonly kv: string;
  readonly tokens: number;
  readonly kvBytes: number;
  readonly storageBytes: number;
  /** Largest resident memory after any step, over that before the prefill. */
  readonly peakGrowthBytes: number;
}

/** Rows of a step, as in `LLM`. */
const CHUNK_TOKENS = 256;

/**
 * Reads memory after every step; a backend that widened its history would have to do it within each of them, and freed
 * memory of a WASM heap stays resident. Activations exist before the first reading.
 */
export async function peakOfPrefill(model: BenchModel, options: PrefillPeakOptions): Promise<PrefillPeak> {
  const { kv, tokens, residentBytes, signal, onProgress } = options;
  const [decoder] = await model.decoders([kv]);
  const runner = new Runner(decoder!, { chunkTokens: CHUNK_TOKENS, contextLength: Math.max(tokens, CHUNK_TOKENS) });
  const cache = decoder!.createCache();
  const ids = randomTokens(Math.max(tokens, CHUNK_TOKENS), model.config.vocabSize);
  const warmUp = cache.createSequence();
  await runner.prefill(warmUp, ids.subarray(0, CHUNK_TOKENS), { signal });
  warmUp.release();
  const sequence = cache.createSequence();
  const before = residentBytes() - model.ops.pages.numBytes;
  let peak = before;
  await runner.prefill(sequence, ids.subarray(0, tokens), {
    signal,
    onProgress: (done, total) => {
      peak = Math.max(peak, residentBytes());
      onProgress?.(`prefill into ${kv}`, done, total);
    },
  });
  const result = { kvBytes: sequence.numBytes, storageBytes: model.ops.pages.numBytes };
  sequence.release();
  decoder!.dispose();
  return { kv, tokens, ...result, peakGrowthBytes: peak - before };
}
