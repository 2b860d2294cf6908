/** @file Measures the allocated bytes of a long cache that is filled through the backend's append. */
import type { BackendName } from "../backends/registry.ts";
import { createBackend } from "../engine/create-backend.ts";
import { yieldNow } from "../engine/yield-now.ts";
import type { ModelConfig } from "../models/config.ts";
import { layerKindsOf, layoutOf } from "../models/layout.ts";
import { layerFormats } from "../quant/layer-formats.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { FILL_ROWS, plainAttentionLayer, RandomKv } from "./random-kv.ts";

export interface FillOptions {
  readonly config: ModelConfig;
  readonly kv: string;
  readonly tokens: number;
  readonly backend: BackendName | "auto";
  readonly threads?: number;
  /** Returns the process's resident bytes; a function, because only the caller can ask the operating system. */
  readonly residentBytes: () => number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

export interface FillResult {
  readonly kv: string;
  readonly tokens: number;
  /** Bytes of the sequence's pages. */
  readonly numBytes: number;
  /** Bytes of everything that the backend holds for pages. */
  readonly storageBytes: number;
  /** How much the process grew while the cache was filled. */
  readonly residentBytes: number;
}

/** Fills every layer of a cache. Backend, kernels and buffers are made before resident memory is read first. */
export async function fillCache(options: FillOptions): Promise<FillResult> {
  const { config, tokens, residentBytes, signal, onProgress } = options;
  const kinds = layerKindsOf(layoutOf(config));
  const kv = parseKvSpec(options.kv).forModel(kinds);
  const ops = await createBackend(options.backend, {
    formats: layerFormats([options.kv], kinds),
    ...(options.threads !== undefined && { threads: options.threads }),
  });
  try {
    const random = new RandomKv(ops, config);
    const layers = Array.from({ length: config.numLayers }, (_, index) => plainAttentionLayer(config, kv, index));
    const cache = random.createCache(kv, layers.length);
    const warmUp = cache.createSequence();
    random.fill(warmUp, layers, FILL_ROWS);
    warmUp.release();
    const before = residentBytes() - ops.pages.numBytes;
    const sequence = cache.createSequence();
    while (sequence.length < tokens) {
      signal?.throwIfAborted();
      random.fill(sequence, layers, Math.min(FILL_ROWS, tokens - sequence.length));
      onProgress?.(`filling ${options.kv}`, sequence.length, tokens);
      await yieldNow();
    }
    return {
      kv: options.kv,
      tokens,
      numBytes: sequence.numBytes,
      storageBytes: ops.pages.numBytes,
      residentBytes: residentBytes() - before,
    };
  } finally {
    await ops.dispose();
  }
}
