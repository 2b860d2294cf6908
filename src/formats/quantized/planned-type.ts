/** @file What the weights of a quantized checkpoint will be, by its config.json alone: for plans of models whose weights are elsewhere. */
import type { WeightType } from "../../weights/registry.ts";
import type { JsonObject } from "../json-file.ts";
import { schemeOf } from "./schemes.ts";
import { ignoring } from "./settings.ts";

export interface PlannedQuantization {
  /** Of the scheme, for people. */
  readonly name: string;
  /** The format that its matrices are handed over in. */
  readonly type: WeightType;
  /** Whether a module is quantized; of embedding and head the scheme's habits tell. */
  has(module: string, use: "matrix" | "experts" | "embedding" | "head"): boolean;
}

/** Null where the config says of no quantization that its weights would be known by. */
export function plannedQuantization(config: JsonObject): PlannedQuantization | null {
  const found = schemeOf(config);
  if (!found) return null;
  const { scheme, settings } = found;
  const type = scheme.plannedType(settings);
  if (type === null) return null;
  const quantizes = { matrix: true, experts: true, embedding: false, head: false, ...scheme.quantizes?.(settings) };
  return {
    name: scheme.name,
    type,
    has: (module, use) => quantizes[use] && ignoring(module, settings) === undefined,
  };
}
