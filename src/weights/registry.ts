/**
 * @file The registry of weight formats. A new format is one file in `formats/` and one line here. Loading, plans, the choices
 * of `--weights`, and the refusal by a backend without kernels for it all follow from that.
 */
import { TurboQuantError } from "../errors.ts";
import { bf16 } from "./formats/bf16.ts";
import { f16 } from "./formats/f16.ts";
import { f32 } from "./formats/f32.ts";
import { q4_0, q4_1, q5_0, q5_1, q8_0 } from "./formats/ggml/legacy.ts";
import { q2_k, q3_k, q4_k, q5_k, q6_k } from "./formats/ggml/super-blocks.ts";
import { iq4_nl, iq4_xs, mxfp4 } from "./formats/ggml/tables.ts";
import { q4 } from "./formats/q4.ts";
import { q8 } from "./formats/q8.ts";
import { isPlain, type WasmWeightFormat, type WeightFormat, type WgslWeightFormat } from "./weight-format.ts";

/** Formats by name, from many bits to few; those of ggml come from checkpoints only. */
const builtIn = {
  ...{ f32, f16, bf16, q8, q4 },
  ...{ q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs, mxfp4 },
};

/** Name of a built-in weight format. */
export type WeightType = keyof typeof builtIn;

const formats = new Map<string, WeightFormat>();

/** @throws TurboQuantError invalid_argument — a format of this name is already registered */
export function registerWeightFormat(format: WeightFormat): void {
  if (formats.has(format.name)) {
    throw new TurboQuantError("invalid_argument", `weights: a format ${format.name} is registered already`);
  }
  formats.set(format.name, format);
}

for (const format of Object.values(builtIn)) registerWeightFormat(format);

/** @throws TurboQuantError unsupported — no format of this name */
export function weightFormat(name: string): WeightFormat {
  const format = formats.get(name);
  if (format) return format;
  throw new TurboQuantError(
    "unsupported",
    `weights: expected one of ${weightTypes().join(", ")}, got ${name.slice(0, 40)}; choose one of them, or auto`,
    { type: name },
  );
}

/** Formats that float weights can be quantized to, from many bits to few. */
export function weightTypes(): WeightType[] {
  return [...formats.values()].filter(({ quantize }) => quantize).map(({ name }) => name as WeightType);
}

/** Formats that come from checkpoints only and that the WASM backend's `convert` kernels read. */
export const wasmSources = (): WeightFormat[] => [...formats.values()].filter((format) => format.wasmSource);

/** The formats of `weightTypes` with fewer bits than any plain number, from many bits to few. They are tried when memory is short. */
export function compactWeightTypes(): WeightType[] {
  return weightTypes().filter((name) => !isPlain(weightFormat(name)));
}

/** @throws TurboQuantError unsupported — the WASM backend has no kernels for this format */
export const wasmWeightFormat = (name: string): WasmWeightFormat => partOf(name, "wasm", "wasm");

/** @throws TurboQuantError unsupported — the WebGPU backend has no kernels for this format */
export const wgslWeightFormat = (name: string): WgslWeightFormat => partOf(name, "wgsl", "webgpu");

function partOf<P extends "wasm" | "wgsl">(name: string, part: P, backend: string): NonNullable<WeightFormat[P]> {
  const own = weightFormat(name)[part];
  if (own) return own;
  const others = [...formats.values()].filter((format) => format[part]).map((format) => format.name);
  throw new TurboQuantError(
    "unsupported",
    `weights: the ${backend} backend has no kernels for ${name}; choose one of ${others.join(", ")}, or another backend`,
    { type: name, backend },
  );
}
