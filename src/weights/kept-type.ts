/** @file The rule that decides which format a weight is kept in, for loading and for the memory plan. */
import { type WeightType, weightFormat } from "./registry.ts";
import { isPlain } from "./weight-format.ts";

/** What a weight is used for. */
export type WeightUse = "matrix" | "embedding" | "vector";

/**
 * stored: formats of the tensors that are stacked in this weight · asked: the value of `--weights`, where `auto` means as stored
 *
 * Norms and biases are always f32: they are tiny, and kernels read f32. Tensors stored in different formats become f32, which
 * holds the values of all; compact formats become the one with most bits.
 */
export function keptType(use: WeightUse, stored: readonly WeightType[], asked: WeightType | "auto"): WeightType {
  if (use === "vector") return "f32";
  if (asked !== "auto") return use === "embedding" ? embeddingTypeOf(asked) : asked;
  const kept = new Set(stored.map((type) => (weightFormat(type).keptAs?.type ?? type) as WeightType));
  const [first] = kept;
  if (first === undefined) return "f32";
  if (kept.size === 1) return first;
  const formats = [...kept].map(weightFormat);
  if (formats.some(isPlain)) return "f32";
  return formats.reduce((a, b) => (b.block.codeBits > a.block.codeBits ? b : a)).name as WeightType;
}

/** The format of embedding and head when the other matrices are kept in `type`. */
const embeddingTypeOf = (type: WeightType): WeightType => (weightFormat(type).embedding ?? type) as WeightType;
