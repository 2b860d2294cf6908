/**
 * @file `choices[].kv_cache`: what the bytes of an answer's cache are spent on, compared with f16. Sent if `return_kv_cache` is set.
 */
import { bytesOfSegments, type LayerSegments, segmentsOf } from "../cache/segments.ts";
import type { Sequence } from "../cache/sequence.ts";
import type { ScheduledChunk } from "../engine/scheduler/request.ts";
import { growingSequence } from "../eval/allocated-bytes.ts";
import type { ModelConfig } from "../models/config.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";

const F16 = parseKvSpec("f16");

/** Bytes of one layer that keeps something; the five parts add up to its share of `bytes`. */
interface WireLayer extends LayerSegments {
  /** Its share of the whole `f16_bytes`. */
  readonly f16_bytes: number;
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
  readonly #f16 = new Map<number, (tokens: number) => Sequence>();

  constructor(config: ModelConfig) {
    this.#config = config;
  }

  /** The field of a choice as an object to spread; empty when the piece has no report. */
  write({ index, cache }: ScheduledChunk): { readonly kv_cache?: WireCache } {
    if (!cache) return {};
    let f16 = this.#f16.get(index);
    if (!f16) {
      f16 = growingSequence(this.#config, F16);
      this.#f16.set(index, f16);
    }
    const { tokens, layers } = cache;
    const inF16 = segmentsOf(f16(tokens)).map(bytesOfSegments);
    return {
      kv_cache: {
        tokens,
        bytes: layers.reduce((sum, layer) => sum + bytesOfSegments(layer), 0),
        f16_bytes: inF16.reduce((sum, bytes) => sum + bytes, 0),
        layers: layers.map((layer, i) => ({ ...layer, f16_bytes: inF16[i]! })),
      },
    };
  }
}
