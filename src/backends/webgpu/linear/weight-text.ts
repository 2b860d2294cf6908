/** @file WGSL that reads eight neighbouring columns of a weight: `weight_unit(row_at, unit) -> array<vec4f, 2>`. */
import type { WeightType } from "../../ops.ts";

const halves = (word: string): string => `unpack2x16float(${word})`;
const brains = (word: string): string => `bitcast<vec2f>(vec2u(${word} << 16u, ${word} & 0xffff0000u))`;
const fromHalves = (pair: (word: string) => string): string => `
  let w = words[row_at + unit];
  return array<vec4f, 2>(vec4f(${pair("w.x")}, ${pair("w.y")}), vec4f(${pair("w.z")}, ${pair("w.w")}));`;

const BODIES: Readonly<Record<WeightType, { readonly word: string; readonly body: string }>> = {
  f32: {
    word: "vec4f",
    body: `
  let at = (row_at + unit) * 2u;
  return array<vec4f, 2>(words[at], words[at + 1u]);`,
  },
  f16: { word: "vec4u", body: fromHalves(halves) },
  bf16: { word: "vec4u", body: fromHalves(brains) },
  q8: {
    word: "vec2u",
    body: `
  let w = bitcast<vec2i>(words[row_at + unit]);
  let scale = scales[(row_at + unit) >> 2u];
  return array<vec4f, 2>(
    vec4f((vec4i(w.x) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)) * scale,
    vec4f((vec4i(w.y) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)) * scale,
  );`,
  },
  q4: {
    word: "u32",
    body: `
  let w = bitcast<i32>(words[row_at + unit]);
  let scale = scales[(row_at + unit) >> 2u];
  return array<vec4f, 2>(
    vec4f((vec4i(w) << vec4u(28u, 24u, 20u, 16u)) >> vec4u(28u)) * scale,
    vec4f((vec4i(w) << vec4u(12u, 8u, 4u, 0u)) >> vec4u(28u)) * scale,
  );`,
  },
};

/** Element type of `words`. */
export const wordType = (type: WeightType): string => BODIES[type].word;

/** row_at: the row's first unit · unit: eight columns of it */
export function weightText(type: WeightType): string {
  return `fn weight_unit(row_at: u32, unit: u32) -> array<vec4f, 2> {${BODIES[type].body}\n}`;
}
