/** @file The parts of a cache with the names and sums that the panel shows. */
import type { LayerSegments } from "turboquant/cache";

export const SEGMENTS = ["codes", "scales", "sinks", "window", "state"] as const;
export type SegmentName = (typeof SEGMENTS)[number];

/** Whether a format stores floats and no codes: `f16`, `f32`, `f16,k=f32`. */
const isFloat = (kv: string): boolean => /^f(16|32)\b(?!.*=tq)/.test(kv);

/** layers: of the cache at hand, which may hold their first and recent tokens in different widths */
export function labelOf(segment: SegmentName, kv: string, layers: readonly Pick<LayerSegments, "bits">[]): string {
  if (segment === "codes")
    return isFloat(kv) ? "Values" : kv.startsWith("tiers=") ? "Codes that grow coarser" : "Codes";
  const widths = [...new Set(layers.map(({ bits }) => bits ?? 0))].filter((bits) => bits > 0).sort((a, b) => a - b);
  const bits = widths.length > 0 ? `, ${widths.join(" or ")} bit` : "";
  return {
    scales: "Scales",
    sinks: `First tokens${bits}`,
    window: `Recent tokens${bits}`,
    state: "States of fixed size, 32 bit",
  }[segment];
}

export const bytesOf = (layer: LayerSegments): number => SEGMENTS.reduce((sum, name) => sum + layer[name], 0);

/** Bytes of codes in pages that have been coded anew in fewer bits. */
export const coarserBytes = (layers: readonly LayerSegments[]): number =>
  layers.reduce((sum, { coarser = 0 }) => sum + coarser, 0);

export function sumSegments(layers: readonly LayerSegments[]): Record<SegmentName, number> {
  const sum = { codes: 0, scales: 0, sinks: 0, window: 0, state: 0 };
  for (const layer of layers) for (const name of SEGMENTS) sum[name] += layer[name];
  return sum;
}
