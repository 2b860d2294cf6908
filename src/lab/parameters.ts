/** @file The parameters that a sweep may vary, and how a choice of them becomes a KV spec. */
import { TurboQuantError } from "../errors.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";

export type ParameterValue = string | number | boolean;
/** Values of the parameters that a space names; all others have their defaults. */
export type Parameters = Readonly<Record<string, ParameterValue>>;

/**
 * The KV spec of a choice of parameters.
 *
 * `kv` is a complete spec to start from; without it `recipe` (`ours` or
 * `paper`) and the widths make one. All other parameters become modifiers.
 * @throws TurboQuantError invalid_argument — a combination that no cache can have
 */
export function kvSpecOf(parameters: Parameters): string {
  const { kv } = parameters;
  const base = kv === undefined ? presetOf(parameters) : wholeSpec(String(kv), parameters);
  const spec = [base, ...modifiersOf(parameters)].join(",");
  return parseKvSpec(spec).text;
}

const PRESET_PARAMETERS = ["recipe", "bits", "k", "v"] as const;

function fail(message: string): never {
  throw new TurboQuantError("invalid_argument", message);
}

function wholeSpec(kv: string, parameters: Parameters): string {
  const other = PRESET_PARAMETERS.find((name) => parameters[name] !== undefined);
  if (other) fail(`kv and ${other}: expected one of them; kv is a whole spec`);
  return kv;
}

function presetOf(parameters: Parameters): string {
  const { recipe = "ours", bits, qjl } = parameters;
  if (bits !== undefined && (parameters["k"] !== undefined || parameters["v"] !== undefined)) {
    fail("bits and k or v: expected one of them; bits is for both sides");
  }
  const k = parameters["k"] ?? bits ?? 4;
  const v = parameters["v"] ?? bits ?? 4;
  const sketched = qjl !== undefined && qjl !== false;
  if (sketched && recipe !== "paper")
    fail(`qjl with recipe ${recipe}: expected recipe paper; only its keys carry a sketch`);
  if (sketched && typeof k !== "number")
    fail(`qjl with k ${k}: expected 2 to 8 bits; the sketch takes the place of one`);
  if (recipe === "paper") {
    const main = typeof k === "number" ? k : typeof v === "number" ? v : 4;
    return [
      `paper-${main}${sketched ? "+qjl" : ""}`,
      ...(k === main ? [] : [`k=${typeOf(k)}`]),
      ...(v === main ? [] : [`v=${typeOf(v)}`]),
    ].join(",");
  }
  const widths = `k${typeof k === "number" ? k : 4}v${typeof v === "number" ? v : 4}`;
  return [widths, ...(typeof k === "number" ? [] : [`k=${k}`]), ...(typeof v === "number" ? [] : [`v=${v}`])].join(",");
}

const typeOf = (width: ParameterValue): string => (typeof width === "number" ? `tq${width}` : String(width));

function modifiersOf(parameters: Parameters): string[] {
  const modifiers: string[] = [];
  for (const name of ["sinks", "window", "scale", "rotation", "calibration", "seed"]) {
    if (parameters[name] !== undefined) modifiers.push(`${name}=${parameters[name]}`);
  }
  for (const name of ["search", "transform", "feedback", "trellis"]) {
    if (parameters[name] !== undefined) modifiers.push(`${name}=${parameters[name] ? "on" : "off"}`);
  }
  // `true` means the preset's own sketch with head_dim projections; `converged` means the codebook of every preset.
  if (typeof parameters["qjl"] === "number") modifiers.push(`qjl=${parameters["qjl"]}`);
  if (typeof parameters["codebook"] === "number") modifiers.push(`codebook=${parameters["codebook"]}`);
  return modifiers;
}
