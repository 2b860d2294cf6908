/** @file The kinds of layers with a cache of keys and values, which `layers=` can name. */

const LAYER_KINDS = ["full", "sliding", "chunked", "latent"] as const;
/** All that `layers=` can name: kinds of layers, and keys of an indexer, which a layer has beside its own. */
export const KEPT_KINDS = [...LAYER_KINDS, "index"] as const;

/** `full`: attends to every token · `sliding`: to the last ones · `chunked`: to those of its chunk · `latent`: has one latent row a token */
export type LayerKind = (typeof LAYER_KINDS)[number];
export type KeptKind = (typeof KEPT_KINDS)[number];

interface KindShape {
  readonly slidingWindow?: number;
  readonly isChunked?: boolean | undefined;
  readonly rotaryKeyDim?: number | undefined;
  readonly isOneRow?: true | undefined;
  /** Keys of an indexer beside those of attention, whose kind is the layer's. */
  readonly isIndex?: true | undefined;
}

export function layerKind({ slidingWindow = 0, isChunked = false, rotaryKeyDim = 0, isOneRow }: KindShape): LayerKind {
  if (rotaryKeyDim > 0 || isOneRow) return "latent";
  if (slidingWindow === 0) return "full";
  return isChunked ? "chunked" : "sliding";
}

/** By layer of a model: the kinds of what it keeps of its own for each token. shapes: of all that is kept */
export function layerKinds(
  shapes: Iterable<{ readonly layer: number; readonly shape: KindShape }>,
  numLayers: number,
): KeptKind[][] {
  const kinds = Array.from({ length: numLayers }, (): KeptKind[] => []);
  for (const { layer, shape } of shapes) {
    const kind = shape.isIndex ? "index" : layerKind(shape);
    if (!kinds[layer]!.includes(kind)) kinds[layer]!.push(kind);
  }
  return kinds;
}
