/** @file Fields of a quantization's settings in config.json. */
import { TurboQuantError } from "../../errors.ts";
import type { WeightType } from "../../weights/registry.ts";
import { isJsonObject, type JsonObject } from "../json-file.ts";
import type { Part, Refuse } from "./scheme.ts";

/** A whole number from `least` on. @throws TurboQuantError invalid_file */
export function whole(settings: JsonObject, name: string, least: number, fallback?: number): number {
  const value = settings[name] ?? fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= least) return value;
  throw new TurboQuantError(
    "invalid_file",
    `config.json: quantization_config: ${name}: expected a whole number from ${least} on, got ${JSON.stringify(value)?.slice(0, 40) ?? "nothing"}; download it again`,
    { field: name },
  );
}

/** @throws TurboQuantError unsupported — a way to lay out the codes of `part` that is not read */
export function expectFormat(
  part: Part,
  field: string,
  value: unknown,
  known: readonly string[],
  refuse: Refuse,
): void {
  if (known.includes(value as string)) return;
  throw refuse.unsupported(
    part.name,
    `quantization_config.${field}: expected ${known.join(" or ")}, got ${JSON.stringify(value)?.slice(0, 40)}`,
  );
}

/** Settings of a config.json whose `quant_method` is one of these. */
export function ofMethod(...names: string[]): (config: JsonObject) => JsonObject | null {
  return ({ quantization_config: settings }) =>
    isJsonObject(settings) && names.includes(String(settings["quant_method"])) ? settings : null;
}

/** Integers of so many bits, where groups are runs of inputs: as `integerWeight` hands them over. */
export const typeOfBits = (bits: unknown): WeightType | null =>
  typeof bits === "number" ? (bits <= 4 ? "q4" : "q8") : null;

/** The entry by which config.json leaves a module out of quantization; patterns are left to the tensors, which tell as well. */
export function ignoring(module: string, settings: JsonObject): string | undefined {
  const lists = ["ignore", "modules_to_not_convert", "ignored_layers", "llm_int8_skip_modules", "exclude_modules"];
  const entries = lists.flatMap((list) => (Array.isArray(settings[list]) ? settings[list] : []));
  return entries.find((entry) => typeof entry === "string" && (entry === module || module.endsWith(`.${entry}`)));
}
