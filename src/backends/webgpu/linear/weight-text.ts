/** @file WGSL that reads eight neighbouring columns of a weight: `weight_unit(row_at, unit) -> array<vec4f, 2>`. */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { WeightType } from "../../ops.ts";

/** Element type of `words`. */
export const wordType = (type: WeightType): string => wgslWeightFormat(type).word;

/** row_at: the row's first unit · unit: eight columns of it */
export function weightText(type: WeightType): string {
  return `fn weight_unit(row_at: u32, unit: u32) -> array<vec4f, 2> {${wgslWeightFormat(type).read}\n}`;
}
