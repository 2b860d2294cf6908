/** @file The rule that decides which format a weight is kept in, for loading and for the memory plan. */
import { type WeightType, weightFormat } from "./registry.ts";
import { isPlain, rowBytes } from "./weight-format.ts";

/**
 * What a weight is used for. `experts` are the matrices of all experts of a layer; a `router` chooses among them by numbers that are
 * often close to each other.
 */
export type WeightUse = "matrix" | "embedding" | "vector" | "router" | "experts";

/**
 * stored: format of the tensor · asked: the value of `--weights`, where `auto` means as stored
 *
 * Norms and biases are always f32: they are tiny, and kernels read f32. Routers stay plain numbers.
 */
export function keptType(use: WeightUse, stored: WeightType, asked: WeightType | "auto"): WeightType {
  if (use === "vector") return "f32";
  if (use === "router" && isPlain(weightFormat(stored)) && (asked === "auto" || !isPlain(weightFormat(asked))))
    return stored;
  if (asked !== "auto") return use === "embedding" ? embeddingTypeOf(asked) : asked;
  return (weightFormat(stored).keptAs?.type ?? stored) as WeightType;
}

/** Tensors of a stack that are kept in one format and are neighbours: one matrix of a backend. */
export interface KeptRun<T> {
  readonly type: WeightType;
  readonly tensors: readonly T[];
}

/**
 * A stack whose tensors are kept in several formats, such as the q4 of q and k and the q8 of v, is as many matrices. Experts are
 * one whatever they are stored in, in the format with the most bits.
 *
 * storedOf: the format in which a tensor is stored
 */
export function keptRuns<T>(
  use: WeightUse,
  tensors: readonly T[],
  storedOf: (tensor: T) => WeightType,
  asked: WeightType | "auto",
): KeptRun<T>[] {
  const runs: { type: WeightType; tensors: T[] }[] = [];
  if (use === "experts") {
    const types = new Set(tensors.map((tensor) => keptType(use, storedOf(tensor), asked)));
    const [type] = [...types].sort((a, b) => bitsOf(b) - bitsOf(a));
    return type ? [{ type, tensors }] : [];
  }
  for (const tensor of tensors) {
    const type = keptType(use, storedOf(tensor), asked);
    const last = runs.at(-1);
    if (last?.type === type) last.tensors.push(tensor);
    else runs.push({ type, tensors: [tensor] });
  }
  return runs;
}

const bitsOf = (type: WeightType): number => rowBytes(weightFormat(type), 256);

/** The format of embedding and head when the other matrices are kept in `type`. */
const embeddingTypeOf = (type: WeightType): WeightType => (weightFormat(type).embedding ?? type) as WeightType;
