/** @file The kinds of layers with a cache of keys and values, which `layers=` can name. */

export const LAYER_KINDS = ["full", "sliding", "chunked", "latent"] as const;

/** `full`: attends to every token · `sliding`: to the last ones · `chunked`: to those of its chunk · `latent`: has one latent row a token */
export type LayerKind = (typeof LAYER_KINDS)[number];

interface KindShape {
  readonly slidingWindow?: number;
  readonly isChunked?: boolean | undefined;
  readonly rotaryKeyDim?: number | undefined;
  /** Keys of an indexer beside those of attention, whose kind is the layer's. */
  readonly isIndex?: true | undefined;
}

export function layerKind({ slidingWindow = 0, isChunked = false, rotaryKeyDim = 0 }: KindShape): LayerKind {
  if (rotaryKeyDim > 0) return "latent";
  if (slidingWindow === 0) return "full";
  return isChunked ? "chunked" : "sliding";
}

/** By layer of a model; null where a layer has no keys and values of its own. shapes: of the layers that have */
export function layerKinds(
  shapes: Iterable<{ readonly layer: number; readonly shape: KindShape }>,
  numLayers: number,
): (LayerKind | null)[] {
  const kinds = Array.from({ length: numLayers }, (): LayerKind | null => null);
  for (const { layer, shape } of shapes) if (!shape.isIndex) kinds[layer] = layerKind(shape);
  return kinds;
}
