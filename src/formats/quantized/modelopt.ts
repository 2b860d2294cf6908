/**
 * @file NVIDIA's ModelOpt: NVFP4 and FP8 with a scale for the matrix.
 *
 * NVFP4: weight U8 [outputs][inputs / 2] · weight_scale F8_E4M3 [outputs][inputs / 16] · weight_scale_2 F32 [].
 * value = fp4 · weight_scale · weight_scale_2 · FP8: weight F8_E4M3 · weight_scale F32
 */
import { nvfp4Weight } from "./fp4.ts";
import { fp8Weight } from "./fp8.ts";
import { partOf } from "./parts.ts";
import type { QuantScheme } from "./scheme.ts";
import { ofMethod } from "./settings.ts";

export const modelopt: QuantScheme = {
  name: "modelopt",
  kinds: [
    { what: "NVFP4", as: "q8", keepsCodes: false },
    { what: "FP8", as: "q8", keepsCodes: false },
  ],
  settings: ofMethod("modelopt"),
  plannedType: () => "q8",
  quantizes: () => ({ head: true }),
  parts: ["weight", "weight_scale", "weight_scale_2", "input_scale", "pre_quant_scale"],
  weight(weight, _settings, refuse) {
    const codes = partOf(weight, "weight", refuse);
    const turned = weight.parts.get("pre_quant_scale");
    if (turned) throw refuse.unsupported(turned.name, "expected no scale of the inputs, got one (awq)");
    if (codes.stored !== "U8") return fp8Weight(weight, null, refuse);
    const part = partOf(weight, "weight_scale_2", refuse);
    return nvfp4Weight(codes, partOf(weight, "weight_scale", refuse), { part, divides: false }, refuse);
  },
};
