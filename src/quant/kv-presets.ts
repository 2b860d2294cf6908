/** @file Parses the beginning of a KV spec: presets, and types of a single side, as the codecs define them. */
import { closest } from "../closest.ts";
import { allCodecs, codecOf, type SideFormat, sideOf } from "./codecs/registry.ts";
import { BARE, type Draft, failSpec, plainSpec, type SideSpec, type SideSyntax } from "./codecs/side-spec.ts";
import { parseTiers } from "./parse-tiers.ts";

/** `auto`, and vLLM's names: norm-corrected codes without sinks, window, search or calibration. */
export const ALIASES: ReadonlyMap<string, string> = new Map([
  ["auto", "tiers=8:auto,4:auto,3:auto,2"],
  ["turboquant_k8v4", "k8v4,sinks=0,window=0,search=off,calibration=off"],
  ["turboquant_4bit_nc", "k4v4,sinks=0,window=0,search=off,calibration=off"],
  ["turboquant_k3v4_nc", "k3v4,sinks=0,window=0,search=off,calibration=off"],
  ["turboquant_3bit_nc", "k3v3,sinks=0,window=0,search=off,calibration=off"],
]);

/** A type without options, which is a codec as published. */
export const plain = (type: string): SideFormat => sideOf(plainSpec(type));

const syntaxes = (): SideSyntax[] => allCodecs().flatMap(({ syntax }) => syntax ?? []);

/** For example `a, b or c`. */
function listed(names: readonly string[]): string {
  return `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}

/** A storage type by itself, or null where the text is none. */
export function findType(text: string, side: "k" | "v", like: SideSpec): SideSpec | null {
  for (const { parseType } of syntaxes()) {
    const found = parseType?.(text, side, like);
    if (found) return found;
  }
  return null;
}

/** Whether a text is a type that our presets make use of: with their sinks, window and calibration. */
export function hasRecipe(type: string): boolean {
  const spec = findType(type, "k", plainSpec(type));
  const side = spec && sideOf(spec);
  return side !== null && (codecOf(side).recipeOf?.(side) ?? null) !== null;
}

/** Parses a storage type for `k=` or `v=`; a TurboQuant width gets the preset's options. */
export function parseType(text: string, side: "k" | "v", like: SideSpec): SideSpec {
  const found = findType(text, side, like);
  if (found) return found;
  const types = listed(syntaxes().flatMap((syntax) => syntax.types));
  failSpec(`${side}=${text} is not a type; choose ${types}`, { type: text });
}

/** Types that are names, of no width to choose. */
export function typeNames(): string[] {
  return syntaxes()
    .flatMap(({ types }) => types)
    .filter((type) => findType(type, "k", plainSpec(type)));
}

export function parsePreset(text: string): Draft {
  const tiers = parseTiers(text);
  if (tiers) return { ...BARE, ...tiers };
  for (const { parsePreset } of syntaxes()) {
    const found = parsePreset?.(text);
    if (found) return { ...BARE, ...found };
  }
  const presets = listed([...syntaxes().flatMap((syntax) => syntax.presets), "tiers=8:128,4:4096,3"]);
  const hint = closest(
    text,
    syntaxes().flatMap(({ examples }) => examples),
  );
  failSpec(`"${text}" is not a preset; choose ${presets}${hint ? `; did you mean ${hint}?` : ""}`, { preset: text });
}
