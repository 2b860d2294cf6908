/** @file What the layers of a model keep of a sequence, by kind, each with its bytes. */
import { layerCache } from "../cache/layer-cache.ts";
import { bytesOf, pagesAtRest } from "../cache/page-counts.ts";
import { formatCount } from "../format-number.ts";
import { typeOf } from "../quant/codecs/registry.ts";
import type { LayerKvFormat, Tier } from "../quant/kv-format.ts";
import { type LayerKind, layerKind } from "../quant/layer-kinds.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";
import { type PlannedModel, plannedKinds } from "./model-memory.ts";

/** Layers that keep the same in the same format. A layer may be among several, with attention beside a state of fixed size. */
export interface CacheKind {
  /** Of keys and values as `layers=` names them; `index`: keys of an indexer beside them · `fixed`: a state that does not grow · `shared`: those of other layers are read · `none` */
  readonly kind: LayerKind | "index" | "fixed" | "shared" | "none";
  /** Indices in the model, ascending. */
  readonly layers: readonly number[];
  /** What it is, in words. */
  readonly text: string;
  /** Types of K and V, or of latent rows; null where formats do not matter. */
  readonly format: string | null;
  /** Bytes that one more token takes in a long sequence, in all of the layers together. */
  readonly bytesPerToken: number;
  /** Bytes of a sequence of the length that was asked for, between steps. */
  readonly bytes: number;
}

const typesOf = ({ k, v }: Tier | LayerKvFormat): string => `${typeOf(k)}/${typeOf(v)}`;

/** In the order of the first layer of each. tokens: of the sequence */
export function cacheKinds(model: PlannedModel, asked: KvSpec, tokens: number): CacheKind[] {
  const { fixedStates = [], sharedLayers = [], numLayers = model.layers.length } = model;
  const kv = asked.forModel(plannedKinds(model));
  const kinds = new Map<string, CacheKind>();
  const add = (layer: number, own: Omit<CacheKind, "layers">): void => {
    const key = `${own.kind} ${own.text} ${own.format}`;
    const { layers = [], bytesPerToken = 0, bytes = 0 } = kinds.get(key) ?? {};
    kinds.set(key, {
      ...own,
      layers: layers.includes(layer) ? layers : [...layers, layer],
      bytesPerToken: bytesPerToken + own.bytesPerToken,
      bytes: bytes + own.bytes,
    });
  };
  for (const [index, shape] of model.layers.entries()) {
    const layer = shape.modelLayer ?? index;
    const cache = layerCache(kv.forLayer(layer, shape.isIndex), shape);
    const { format, main, tiers, tokensPerRow } = cache;
    const kind = shape.isIndex ? "index" : layerKind(shape);
    add(layer, {
      kind,
      text: `${textOf(kind, shape.slidingWindow)}${tokensPerRow > 1 ? `, one for ${formatCount(tokensPerRow)} tokens` : ""}`,
      format: main.rotaryKey ? typeOf(format.k) : [format, ...(format.tiers ?? [])].map(typesOf).join(", then "),
      bytesPerToken: shape.slidingWindow > 0 ? 0 : (tiers.at(-1)?.layout ?? main).numBytes / PAGE_TOKENS / tokensPerRow,
      bytes: bytesOf(cache, pagesAtRest(cache, tokens)),
    });
  }
  for (const { layer, bytes } of fixedStates)
    add(layer, { kind: "fixed", text: "a state of fixed size, f32", format: null, bytesPerToken: 0, bytes });
  const sources = [...new Set(sharedLayers.map(({ of }) => of))].sort((a, b) => a - b);
  const nothing = { format: null, bytesPerToken: 0, bytes: 0 };
  for (const { layer } of sharedLayers)
    add(layer, { kind: "shared", text: `keys and values of ${sources.join(" and ")}`, ...nothing });
  const known = new Set([...kinds.values()].flatMap(({ layers }) => layers));
  for (let layer = 0; layer < numLayers; layer++)
    if (!known.has(layer)) add(layer, { kind: "none", text: "nothing", ...nothing });
  return [...kinds.values()].sort((a, b) => a.layers[0]! - b.layers[0]!);
}

function textOf(kind: LayerKind | "index", window: number): string {
  switch (kind) {
    case "full":
      return "keys and values";
    case "sliding":
      return `keys and values of the last ${formatCount(window)}`;
    case "chunked":
      return `keys and values of chunks of ${formatCount(window)}`;
    case "index":
      return "keys of an indexer";
    case "latent":
      return `latent rows${window > 0 ? ` of the last ${formatCount(window)}` : ""}`;
  }
}
