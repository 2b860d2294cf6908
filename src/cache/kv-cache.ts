/** @file The KV cache of one model: a format and a layout for each layer, and the pool its sequences draw from. */
import type { LayerKvFormat, SideFormat } from "../quant/kv-format.ts";
import { plain } from "../quant/kv-presets.ts";
import { EXACT_PAGE_TOKENS, PAGE_TOKENS, type PageLayout, pageLayout } from "../quant/page-layout.ts";
import type { PagePool } from "./page-pool.ts";
import { Sequence } from "./sequence.ts";

export interface LayerShape {
  readonly numKvHeads: number;
  readonly headDim: number;
}

export interface LayerCache {
  readonly format: LayerKvFormat;
  /** Every token, in the format's types. */
  readonly main: PageLayout;
  /** Sinks and recent window in f16, rotated like the codes; null when the format has none. */
  readonly exact: PageLayout | null;
}

/** Both sides of the exact stream. */
export const EXACT_SIDE: SideFormat = plain("f16");

const isFloat = (side: SideFormat): boolean => side.type === "f16" || side.type === "f32";

/** Whether attention reads part of this layer from the exact stream. A cache of floats has nothing to protect. */
export function hasExactStream(format: LayerKvFormat): boolean {
  return (format.sinks > 0 || format.window > 0) && !(isFloat(format.k) && isFloat(format.v));
}

/** Format and page layouts of one layer. */
export function layerCache(format: LayerKvFormat, { numKvHeads, headDim }: LayerShape): LayerCache {
  return {
    format,
    main: pageLayout(format.k, format.v, headDim, numKvHeads, PAGE_TOKENS),
    exact: hasExactStream(format) ? pageLayout(EXACT_SIDE, EXACT_SIDE, headDim, numKvHeads, EXACT_PAGE_TOKENS) : null,
  };
}

export class KvCache {
  readonly layers: readonly LayerCache[];
  readonly pool: PagePool;

  constructor(shapes: readonly LayerShape[], formatOf: (layer: number) => LayerKvFormat, pool: PagePool) {
    this.pool = pool;
    this.layers = shapes.map((shape, layer) => layerCache(formatOf(layer), shape));
  }

  createSequence(): Sequence {
    return new Sequence(this);
  }

  /** Bytes of all pages in use by any sequence, shared pages once. */
  get numBytes(): number {
    return this.pool.numBytes;
  }
}
