/**
 * @file `choices[].kv_cache`: what the bytes of an answer's cache are spent on, compared with f16. Sent if `return_kv_cache` is set.
 */
import type { ScheduledChunk } from "../engine/scheduler/request.ts";
import { growingBytes } from "../eval/allocated-bytes.ts";
import type { ModelConfig } from "../models/config.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";

const F16 = parseKvSpec("f16");

/** Bytes of one layer; the four add up to its share of `bytes`. */
interface WireLayer {
  readonly codes: number;
  readonly scales: number;
  readonly sinks: number;
  readonly window: number;
}

export interface WireCache {
  readonly tokens: number;
  readonly bytes: number;
  /** Bytes that the same allocator takes for as many tokens in f16. */
  readonly f16_bytes: number;
  readonly layers: readonly WireLayer[];
}

/** Writes the reports of one request. It keeps the f16 count, so that a long answer is not counted from the start each time. */
export class CacheWriter {
  readonly #config: ModelConfig;
  readonly #f16 = new Map<number, (tokens: number) => number>();

  constructor(config: ModelConfig) {
    this.#config = config;
  }

  /** The field of a choice as an object to spread; empty when the piece has no report. */
  write({ index, cache }: ScheduledChunk): { readonly kv_cache?: WireCache } {
    if (!cache) return {};
    let f16 = this.#f16.get(index);
    if (!f16) {
      f16 = growingBytes(this.#config, F16);
      this.#f16.set(index, f16);
    }
    const { tokens, layers } = cache;
    const bytes = layers.reduce((sum, { codes, scales, sinks, window }) => sum + codes + scales + sinks + window, 0);
    return { kv_cache: { tokens, bytes, f16_bytes: f16(tokens), layers } };
  }
}
