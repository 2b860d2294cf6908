/** @file WGSL that reads eight neighbouring columns of a weight: `weight_unit(row_at, unit) -> array<vec4f, 2>`. */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { WeightType } from "../../ops.ts";

/** Element types of `words` and `scales`. */
function aliases(type: WeightType): string {
  const { word, scale = "f32" } = wgslWeightFormat(type);
  return `alias WORD = ${word};\nalias SCALE = ${scale};`;
}

/** row_at: the row's first unit · unit: eight columns of it */
function weightText(type: WeightType): string {
  return `fn weight_unit(row_at: u32, unit: u32) -> array<vec4f, 2> {${wgslWeightFormat(type).read}\n}`;
}

/** Element type of activations. tail: whether the columns are no whole units, so that x is read one by one */
export const xType = (tail: boolean): string => (tail ? "f32" : "vec4f");

/** What a kernel needs to read x and a weight. */
export const readers = (type: WeightType, tail: boolean): string =>
  `${aliases(type)}\nalias XTYPE = ${xType(tail)};\n${weightText(type)}`;

/** What a kernel needs to read a matrix of one column that is stored as a vector (`isVector`): its rows are numbers side by side. */
export const COLUMN = `alias WORD = f32;\nalias SCALE = f32;
fn weight_unit(row_at: u32, unit: u32) -> array<vec4f, 2> {
  return array<vec4f, 2>(vec4f(words[row_at + unit], 0.0, 0.0, 0.0), vec4f());
}`;
