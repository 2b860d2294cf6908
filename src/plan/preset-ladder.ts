/** @file The formats that are tried for a model, and which of two is surely no worse. */
import { codecOf, isFloat } from "../quant/codecs/registry.ts";
import type { LayerKvFormat, SideFormat } from "../quant/kv-format.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";
import type { Window } from "../quant/window-side.ts";

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

/** What is neither a side nor a window: equal or not. */
const restOf = ({ tiers, rotation, seed }: LayerKvFormat): string => JSON.stringify({ tiers, rotation, seed });

const windowBits = (format: Window): number => format.windowBits ?? 16;

/** Whether each token has at least as many bits in `a` as in the sinks and the window of `b`; of `a` its codes may have them. */
function windowIsAtLeast(a: LayerKvFormat, b: Window): boolean {
  if (Math.min(bitsOf(a.k), bitsOf(a.v)) >= windowBits(b)) return true;
  return windowBits(a) >= windowBits(b) && a.sinks >= b.sinks && a.window >= b.window;
}

/** Whether `a` keeps at least as much as `b` on both sides of every layer and is equal to it otherwise. Both are those of a model (`forModel`). */
export function isAtLeast(a: KvSpec, b: KvSpec, numLayers: number): boolean {
  for (let layer = 0; layer < numLayers; layer++) {
    for (const isIndex of [false, true]) {
      const [ofA, ofB] = [a.forLayer(layer, isIndex), b.forLayer(layer, isIndex)];
      if (!sideIsAtLeast(ofA.k, ofB.k) || !sideIsAtLeast(ofA.v, ofB.v)) return false;
      const noCodes = isFloat(ofA.k) && isFloat(ofA.v);
      if (!noCodes && (!windowIsAtLeast(ofA, ofB) || restOf(ofA) !== restOf(ofB))) return false;
    }
  }
  return a.calibration === b.calibration || a.isFloat;
}
