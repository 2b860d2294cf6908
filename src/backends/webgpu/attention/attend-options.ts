/** @file Options and buffers that all attention kernels have in common, for any number of tokens. */
import type { LayerCache } from "../../../cache/layer-cache.ts";
import type { LayerKvFormat } from "../../../quant/kv-format.ts";
import type { AttentionLayer } from "../../ops.ts";
import type { GpuBuffer } from "../queue/buffers.ts";

/** What a pass of attention reads: the codes that tokens get first with sinks and window, or those of a coarser tier. */
export interface AttendOptions {
  readonly layer: AttentionLayer;
  /** Of a coarser tier its pages as `main`, and nothing beside them. */
  readonly cache: Pick<LayerCache, "main" | "residual">;
  /** 0 or absent: the finest. */
  readonly tier?: number;
  /** Where the centroids of each side begin. */
  readonly centroidsAt: { readonly k: number; readonly v: number };
  /** The same of sinks and window of 8 bits; absent: they have 16. */
  readonly windowCentroidsAt?: { readonly k: number; readonly v: number } | undefined;
}

/** What the codes of a pass are. */
export const sidesOf = ({
  layer,
  tier = 0,
}: {
  readonly layer: Pick<AttentionLayer, "kv">;
  readonly tier?: number;
}): Pick<LayerKvFormat, "k" | "v"> => {
  const { format } = layer.kv;
  return tier === 0 ? format : format.tiers![tier - 1]!;
};

/**
 * Constants that say which keys a pass reads besides those that sinks and window have: whether there is a coarser tier, and whether this is one,
 * with the tokens that are behind a page in them.
 */
export function tierValues({
  layer,
  tier = 0,
}: Pick<AttendOptions, "layer" | "tier">): Record<string, number | boolean> {
  const { tiers = [] } = layer.kv.format;
  return {
    HAS_COARSER: tier < tiers.length,
    IS_COARSER: tier > 0,
    IS_TIERED: tiers.length > 0,
    COARSER_AFTER: tiers[tier]?.after ?? 0,
    OWN_AFTER: tiers[tier - 1]?.after ?? 0,
  };
}

/** The place of a pass among the parts that are merged: its first, and how many there are of all passes. */
export interface PassParts {
  readonly firstPart: number;
  readonly allParts: number;
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
