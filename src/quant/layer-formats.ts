/** @file The formats of a model's layers under one or several KV specs. */
import type { LayerKvFormat } from "./kv-format.ts";
import type { LayerKind } from "./layer-kinds.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";

/**
 * kinds: of the model's layers
 * @throws TurboQuantError invalid_argument — not a spec, or one of other layers
 */
export function layerFormats(specs: readonly string[], kinds: readonly (LayerKind | null)[]): LayerKvFormat[] {
  return specs.flatMap((text) => {
    const spec = parseKvSpec(text).forModel(kinds);
    return kinds.map((_, layer) => spec.forLayer(layer));
  });
}
