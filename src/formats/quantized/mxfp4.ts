/** @file MXFP4 as gpt-oss is published: matrices of experts as `*_blocks` and `*_scales`, everything else in BF16. */
import { mxfp4Experts } from "./fp4.ts";
import { partOf } from "./parts.ts";
import type { QuantScheme } from "./scheme.ts";
import { ofMethod } from "./settings.ts";

export const mxfp4: QuantScheme = {
  name: "mxfp4",
  kinds: [{ what: "MXFP4", as: "mxfp4", keepsCodes: true }],
  settings: ofMethod("mxfp4"),
  plannedType: () => "mxfp4",
  quantizes: () => ({ matrix: false }),
  parts: ["blocks", "scales"],
  separator: "_",
  weight: (weight, _settings, refuse) =>
    mxfp4Experts(partOf(weight, "blocks", refuse), partOf(weight, "scales", refuse), refuse),
};
