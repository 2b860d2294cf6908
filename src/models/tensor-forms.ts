/** @file Which of the tensors that a weight may be made of a checkpoint has. */
import type { TensorInfo } from "../formats/checkpoint.ts";
import { weightFormat } from "../weights/registry.ts";
import { isPlain } from "../weights/weight-format.ts";
import type { Branch, Norm, TensorSpec, WeightSpec } from "./blocks/block.ts";
import type { ModelLayout } from "./layout.ts";

type Stored = ReadonlyMap<string, Pick<TensorInfo, "shape" | "dtype">>;

/**
 * The weight made of tensors that the checkpoint has: the first of its forms that is there as a whole, or else the first of which
 * any tensor is there, so that what is missing is one of its own.
 */
function storedForm(spec: WeightSpec, stored: Stored): WeightSpec {
  const { tensors, forms, ...others } = spec;
  if (!forms) return spec;
  const all = [tensors, ...forms];
  const found =
    all.find((form) => form.every((tensor) => isStored(tensor, stored))) ??
    all.find((form) => form.some((tensor) => isStored(tensor, stored))) ??
    tensors;
  return { ...others, tensors: found };
}

function isStored({ name, shape, stored: as }: TensorSpec, stored: Stored): boolean {
  const info = stored.get(name);
  if (!info || info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i])) return false;
  return as === undefined || isPlain(weightFormat(info.dtype)) === (as === "floats");
}

/** The layout with every weight as the checkpoint has it. */
export function storedLayout(layout: ModelLayout, stored: Stored): ModelLayout {
  const form = (spec: WeightSpec): WeightSpec => storedForm(spec, stored);
  const norm = (of: Norm | null): Norm | null =>
    of && { ...of, weight: form(of.weight), bias: of.bias && form(of.bias) };
  const branch = (of: Branch): Branch => ({
    ...of,
    norm: norm(of.norm),
    block: {
      ...of.block,
      weights: Object.fromEntries(Object.entries(of.block.weights).map(([name, spec]) => [name, form(spec)])),
    },
    ...(of.postNorm && { postNorm: norm(of.postNorm)! }),
  });
  return {
    ...layout,
    embedding: form(layout.embedding),
    layers: layout.layers.map((branches) => branches.map(branch)),
    finalNorm: norm(layout.finalNorm),
    head: layout.head && form(layout.head),
    headBias: layout.headBias && form(layout.headBias),
  };
}
