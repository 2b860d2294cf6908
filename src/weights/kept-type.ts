/** @file In which format a weight is kept: the one rule that loading and plans follow. */
import { type WeightType, weightFormat } from "./registry.ts";

/** What a weight is used for. */
export type WeightUse = "matrix" | "embedding" | "vector";

/**
 * stored: formats of the parts that are stacked in it · asked: as `--weights` says, `auto` for as stored
 *
 * Norms and biases are f32: they are tiny, and kernels read them as such. Parts that are stored in different formats meet in
 * f32, which holds them all.
 */
export function keptType(use: WeightUse, stored: readonly WeightType[], asked: WeightType | "auto"): WeightType {
  if (use === "vector") return "f32";
  if (asked !== "auto") return use === "embedding" ? embeddingTypeOf(asked) : asked;
  const [first] = stored;
  if (first === undefined || stored.some((type) => type !== first)) return "f32";
  return (weightFormat(first).keptAs?.type ?? first) as WeightType;
}

/** The format of the embedding and the head beside matrices in this one. */
const embeddingTypeOf = (type: WeightType): WeightType => (weightFormat(type).embedding ?? type) as WeightType;
