/** @file The rule that decides which format a weight is kept in, for loading and for the memory plan. */
import { type WeightType, weightFormat } from "./registry.ts";

/** What a weight is used for. */
export type WeightUse = "matrix" | "embedding" | "vector";

/**
 * stored: formats of the tensors that are stacked in this weight · asked: the value of `--weights`, where `auto` means as
 * stored
 *
 * Norms and biases are always f32: they are tiny, and kernels read f32. Tensors stored in different formats become f32, which
 * holds the values of all.
 */
export function keptType(use: WeightUse, stored: readonly WeightType[], asked: WeightType | "auto"): WeightType {
  if (use === "vector") return "f32";
  if (asked !== "auto") return use === "embedding" ? embeddingTypeOf(asked) : asked;
  const [first] = stored;
  if (first === undefined || stored.some((type) => type !== first)) return "f32";
  return (weightFormat(first).keptAs?.type ?? first) as WeightType;
}

/** The format of embedding and head when the other matrices are kept in `type`. */
const embeddingTypeOf = (type: WeightType): WeightType => (weightFormat(type).embedding ?? type) as WeightType;
