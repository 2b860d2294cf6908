/** @file The ways of quantizing a safetensors checkpoint that are read. A new one is a file and a line here. */
import type { JsonObject } from "../json-file.ts";
import { awq } from "./awq.ts";
import { bitsandbytes } from "./bitsandbytes.ts";
import { compressedTensors } from "./compressed-tensors.ts";
import { fp8 } from "./fp8.ts";
import { gptq } from "./gptq.ts";
import { mlx } from "./mlx.ts";
import { modelopt } from "./modelopt.ts";
import { mxfp4 } from "./mxfp4.ts";
import type { QuantScheme } from "./scheme.ts";

export const schemes: readonly QuantScheme[] = [gptq, awq, compressedTensors, fp8, mxfp4, modelopt, bitsandbytes, mlx];

/** The scheme of a config.json with its settings; null where it has none of these. */
export function schemeOf(config: JsonObject): { readonly scheme: QuantScheme; readonly settings: JsonObject } | null {
  for (const scheme of schemes) {
    const settings = scheme.settings(config);
    if (settings) return { scheme, settings };
  }
  return null;
}

export const schemeNames = (): string[] => schemes.map(({ name }) => name);
