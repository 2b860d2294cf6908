/** @file Describes the cache that a KV spec means, for grouping and colours: which codec, which sides, how many bits. */
import { codecOf, isFloat } from "../../quant/codecs/registry.ts";
import type { Recipe } from "../../quant/codecs/side-codec.ts";
import type { SideFormat } from "../../quant/kv-format.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";

export const FAMILIES = ["ours", "published", "qjl", "baseline", "exact"] as const;
export type Family = (typeof FAMILIES)[number];

export const FAMILY_LABELS: Readonly<Record<Family, string>> = {
  ours: "ours",
  published: "as published",
  qjl: "published with QJL",
  baseline: "baselines",
  exact: "uncompressed",
};

export interface FormatKind {
  readonly family: Family;
  /** Which sides are quantized. */
  readonly side: "both" | "k" | "v" | "none";
  /** Nominal bits of the codes; null when sides or layers differ. */
  readonly bits: number | null;
  /** Whether the format has sinks or a window, in 16 bits or in 8. */
  readonly hasExactTokens: boolean;
  /** The spec without the modifiers that switch a side off: the same for K only, V only and both. */
  readonly wholeSpec: string;
}

const recipeOf = (side: SideFormat): Recipe | null => codecOf(side).recipeOf?.(side) ?? null;
const isPublished = ({ scale, search, transform, feedback, trellis }: Recipe): boolean =>
  scale === "norm" && !search && !transform && !feedback && !trellis;

/** Of codes with the levers of our recipe; a sketch is on the keys, whichever side is shown. */
function familyOf(shown: Recipe, keys: Recipe | null): Family {
  if (keys?.hasSketch) return "qjl";
  return isPublished(shown) ? "published" : "ours";
}

export function describeFormat(kv: string): FormatKind {
  const spec = parseKvSpec(kv);
  const { k, v, sinks, window, tiers } = spec.forLayer(0);
  const side = isFloat(k) ? (isFloat(v) ? "none" : "v") : isFloat(v) ? "k" : "both";
  const shown = side === "v" ? v : k;
  const recipe = recipeOf(shown);
  const widths = [k, v].filter((of) => !isFloat(of)).map((of) => codecOf(of).bitsOf(of));
  const isUniform = widths.length > 0 && new Set(widths).size === 1 && !tiers && !/layers=/.test(kv);
  return {
    family: side === "none" ? "exact" : recipe ? familyOf(recipe, recipeOf(k)) : "baseline",
    side,
    bits: isUniform ? widths[0]! : null,
    hasExactTokens: side !== "none" && (sinks > 0 || window > 0),
    wholeSpec: spec.text.replace(/,[kv]=f(?:16|32)\b/g, ""),
  };
}
