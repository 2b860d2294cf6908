/** @file `choices[].kv_cache`: where the bytes of an answer's cache are, beside f16. Asked for with `return_kv_cache`. */
import type { ScheduledChunk } from "../engine/scheduler/job.ts";
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
  /** What the same allocator takes for as many tokens in f16. */
  readonly f16_bytes: number;
  readonly layers: readonly WireLayer[];
}

/** The reports of one request: `f16_bytes` of a long answer is not counted from its beginning each time. */
export class CacheWriter {
  readonly #config: ModelConfig;
  readonly #f16 = new Map<number, (tokens: number) => number>();

  constructor(config: ModelConfig) {
    this.#config = config;
  }

  /** The field of a choice, for spreading; empty when the piece reports nothing. */
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
