/** @file Fields of a quantization's settings in config.json. */
import { TurboQuantError } from "../../errors.ts";
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
