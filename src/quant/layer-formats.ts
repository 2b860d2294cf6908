/** @file The formats of a model's layers under one or several KV specs. */
import type { LayerKvFormat } from "./kv-format.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";

/** @throws TurboQuantError invalid_argument — not a spec */
export function layerFormats(specs: readonly string[], numLayers: number): LayerKvFormat[] {
  return specs
    .map(parseKvSpec)
    .flatMap((spec) => Array.from({ length: numLayers }, (_, layer) => spec.forLayer(layer)));
}
