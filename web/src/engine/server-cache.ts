/** @file Converts the cache report of our server (`return_kv_cache`) into the form that the panel shows. */
import type { LayerSegments } from "turboquant/cache";
import type { CacheState } from "./protocol.ts";

type WireLayer = Partial<LayerSegments> & { readonly f16_bytes?: number };

/** `choices[].kv_cache`. It comes from the network, so every field may be missing. */
export interface WireCache {
  readonly tokens?: number;
  readonly bytes?: number;
  readonly f16_bytes?: number;
  readonly layers?: readonly WireLayer[];
}

/** null for anything that is not a report: another server may use the name differently. */
export function serverCache(report: WireCache | null | undefined): CacheState | null {
  if (!report || !Array.isArray(report.layers) || report.layers.length === 0) return null;
  const { tokens, bytes, f16_bytes: f16Bytes } = report;
  if (tokens === undefined || bytes === undefined || f16Bytes === undefined) return null;
  const { length } = report.layers;
  const layers = (report.layers as readonly WireLayer[]).map(
    ({ layer, codes = 0, scales = 0, sinks = 0, window = 0, state = 0, bits, coarser, f16_bytes: own }, i) => ({
      ...{ layer: layer ?? i, codes, scales, sinks, window, state },
      ...(bits !== undefined && { bits }),
      ...(coarser !== undefined && { coarser }),
      f16Bytes: own ?? f16Bytes / length,
    }),
  );
  return { tokens, numBytes: bytes, f16Bytes, formats: [], layers, shelf: null };
}
