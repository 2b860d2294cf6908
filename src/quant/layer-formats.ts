/** @file The formats of a model's layers under one or several KV specs. */
import type { LayerKvFormat } from "./kv-format.ts";
import type { KeptKind } from "./layer-kinds.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";

/**
 * kinds: of what each of the model's layers keeps
 * @throws TurboQuantError invalid_argument — not a spec, or one of other layers
 */
export function layerFormats(specs: readonly string[], kinds: readonly (readonly KeptKind[])[]): LayerKvFormat[] {
  return specs.flatMap((text) => {
    const spec = parseKvSpec(text).forModel(kinds);
    return kinds.flatMap((kept, layer) => [
      spec.forLayer(layer),
      ...(kept.includes("index") ? [spec.forLayer(layer, true)] : []),
    ]);
  });
}

/** Whether a layer whose attention is to the tokens that an indexer chooses has tiers under one of these specs. kinds: as of `layerFormats` */
export function choosesInTiers(specs: readonly string[], kinds: readonly (readonly KeptKind[])[]): boolean {
  return specs.some((text) => {
    const spec = parseKvSpec(text).forModel(kinds);
    return kinds.some((kept, layer) => kept.includes("index") && spec.forLayer(layer).tiers !== undefined);
  });
}
