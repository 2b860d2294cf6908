/** @file Converts the cache report of our server (`return_kv_cache`) into the form that the panel shows. */
import type { LayerSegments } from "turboquant/cache";
import type { CacheState } from "./protocol.ts";

/** `choices[].kv_cache`. It comes from the network, so every field may be missing. */
export interface WireCache {
  readonly tokens?: number;
  readonly bytes?: number;
  readonly f16_bytes?: number;
  readonly layers?: readonly Partial<LayerSegments>[];
}

/** null for anything that is not a report: another server may use the name differently. */
export function serverCache(report: WireCache | null | undefined): CacheState | null {
  if (!report || !Array.isArray(report.layers) || report.layers.length === 0) return null;
  const { tokens, bytes, f16_bytes: f16Bytes } = report;
  if (tokens === undefined || bytes === undefined || f16Bytes === undefined) return null;
  const layers = (report.layers as readonly Partial<LayerSegments>[]).map(
    ({ codes = 0, scales = 0, sinks = 0, window = 0 }) => ({ codes, scales, sinks, window }),
  );
  return { tokens, numBytes: bytes, f16Bytes, layers, shelf: null };
}
