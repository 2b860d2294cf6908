/** @file Options and buffers that all attention kernels have in common, for any number of tokens. */
import type { LayerCache } from "../../../cache/layer-cache.ts";
import type { AttentionLayer } from "../../ops.ts";
import type { GpuBuffer } from "../queue/buffers.ts";

export interface AttendOptions {
  readonly layer: AttentionLayer;
  readonly cache: LayerCache;
  /** Where the centroids of each side begin. */
  readonly centroidsAt: { readonly k: number; readonly v: number };
  /** The same of sinks and window of 8 bits; absent: they have 16. */
  readonly windowCentroidsAt?: { readonly k: number; readonly v: number } | undefined;
}

export interface AttendBuffers {
  readonly step: GpuBuffer;
  readonly pages: GpuBuffer;
  readonly residualPages: GpuBuffer;
  /** Centroids of K and V, for vectors whose norm is the root of their length. */
  readonly centroids: GpuBuffer;
  readonly q: GpuBuffer;
  /** [row][head][part][valueDim]: sums of values in V's stored space, weighted relative to the maximum. */
  readonly parts: GpuBuffer;
  /** [row][head][part]: maximum, and sum of the weights. */
  readonly stats: GpuBuffer;
}
