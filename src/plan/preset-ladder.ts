/** @file The formats that are tried for a model, and which of two is surely no worse. */
import { codecOf, isFloat } from "../quant/codecs/registry.ts";
import type { SideFormat } from "../quant/kv-format.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";

/** From few bits to many, with the presets' sinks and window. */
export const LADDER = ["k2v2", "k3v2", "k3v3", "k4v2", "k4v3", "k4v4", "k5v4", "k5v5", "k6v5", "k6v6", "k8v8"] as const;

/** The format whose tail of divergence is the reference; also the largest preset. */
export const TAIL_REFERENCE = "k8v8";

const bitsOf = (side: SideFormat): number => codecOf(side).bitsOf(side);

/** Whether `a` has at least as many bits by the same rules, or no codes at all. */
function sideIsAtLeast(a: SideFormat, b: SideFormat): boolean {
  if (isFloat(a)) return !isFloat(b) || bitsOf(a) >= bitsOf(b);
  const [aRecipe, bRecipe] = [codecOf(a).recipeOf?.(a), codecOf(b).recipeOf?.(b)];
  if (!aRecipe || !bRecipe) return codecOf(a).nameOf(a) === codecOf(b).nameOf(b);
  const { trellis: aTrellis = false, search: aSearch, ...aRules } = aRecipe;
  const { trellis: bTrellis = false, search: bSearch, ...bRules } = bRecipe;
  if (JSON.stringify(aRules) !== JSON.stringify(bRules)) return false;
  // A trellis has no search to compare.
  if (aSearch !== undefined && bSearch !== undefined && aSearch !== bSearch) return false;
  // A trellis is worth less than a bit.
  const bits = bitsOf(a) - bitsOf(b);
  return bits > 0 || (bits === 0 && (aTrellis || !bTrellis));
}

/** Whether `a` keeps at least as much as `b` on both sides of every layer and is equal to it otherwise. Both are those of a model (`forModel`). */
export function isAtLeast(a: KvSpec, b: KvSpec, numLayers: number): boolean {
  for (let layer = 0; layer < numLayers; layer++) {
    for (const isIndex of [false, true]) {
      const { k: ak, v: av, ...restA } = a.forLayer(layer, isIndex);
      const { k: bk, v: bv, ...restB } = b.forLayer(layer, isIndex);
      if (!sideIsAtLeast(ak, bk) || !sideIsAtLeast(av, bv)) return false;
      const noCodes = isFloat(ak) && isFloat(av);
      if (!noCodes && JSON.stringify(restA) !== JSON.stringify(restB)) return false;
    }
  }
  return a.calibration === b.calibration || a.isFloat;
}
