/** @file Heads that differ by kind of layer: those with a sliding window have other widths or numbers than the others. */
import type { JsonObject } from "../json-file.ts";
import type { Metadata } from "./metadata.ts";

const MAX = { heads: 65_536, width: 1 << 20 };

/** What a file says of the heads of its layers. */
export interface Heads {
  readonly numHeads: number;
  readonly headDim: number;
  /** Fields of config.json. */
  readonly fields: JsonObject;
}

export interface HeadsByLayer {
  readonly numHeads: number;
  /** Of each layer, whether it has a sliding window. */
  readonly slides: readonly boolean[];
  /** Of each layer. */
  readonly numKvHeads: readonly number[];
}

/** @throws TurboQuantError invalid_file — a file that does not list its windows, or KV heads that are none */
export function headsByLayer(metadata: Metadata): HeadsByLayer {
  const numHeads = metadata.size(metadata.own("attention.head_count"), MAX.heads);
  const patternKey = metadata.own("attention.sliding_window_pattern");
  const slides = metadata.perLayer(patternKey)?.map(Boolean);
  if (!slides) throw metadata.invalid(patternKey, "a list of which layers have a sliding window");
  const key = metadata.own("attention.head_count_kv");
  const listed = metadata.perLayer(key) ?? slides.map(() => metadata.size(key, numHeads, numHeads));
  const numKvHeads = listed.map((count) => {
    if (typeof count === "number" && Number.isInteger(count) && count >= 1 && numHeads % count === 0) return count;
    throw metadata.invalid(key, `divisors of head_count (${numHeads})`);
  });
  if (numKvHeads.length !== slides.length) throw metadata.invalid(key, `a number for each of ${slides.length} layers`);
  return { numHeads, slides, numKvHeads };
}

/** The number of KV heads of all layers with a window, or of all without one. otherwise: where there are no such layers */
export function kvHeadsWhere(
  metadata: Metadata,
  { slides, numKvHeads }: HeadsByLayer,
  sliding: boolean,
  otherwise: number,
): number {
  const counts = new Set(numKvHeads.filter((_, layer) => slides[layer] === sliding));
  if (counts.size > 1)
    throw metadata.unsupported(
      metadata.own("attention.head_count_kv"),
      `expected one number for all layers ${sliding ? "with" : "without"} a sliding window, got ${[...counts].join(" and ")}`,
    );
  return [...counts][0] ?? otherwise;
}

/** The width of a head that two keys say. suffix: of the keys */
export function headDimOf(metadata: Metadata, suffix = "", otherwise?: number): number {
  const key = metadata.own(`attention.key_length${suffix}`);
  const headDim = metadata.size(key, MAX.width, otherwise);
  const valueKey = metadata.own(`attention.value_length${suffix}`);
  if (metadata.size(valueKey, MAX.width, headDim) !== headDim)
    throw metadata.invalid(valueKey, `as much as key_length${suffix} (${headDim})`);
  return headDim;
}
