/** @file The words of a spec that mean TurboQuant codes: tqN, kNvM, paper-N. Scalar codes, the trellis and the sketch have them in common. */
import type { Bits, ScaleRule } from "../../rules.ts";
import { type PresetDraft, plainSpec, type SideSpec, type SideSyntax } from "../side-spec.ts";

/** Code width of a type, or null where it is none of TurboQuant's. */
export function turboQuantBits(type: string): Bits | null {
  const bits = /^tq-?([1-8])$/.exec(type)?.[1];
  return bits ? (Number(bits) as Bits) : null;
}

/** A preset as canonical texts have it: widths of both sides, where a type stands for both. */
export const canonicalPreset = (preset: string): string => preset.replace(/^tq-?([1-8])$/, "k$1v$1");

/** Scale rules of our recipe: `scale=auto`. */
export const RECIPE_SCALES: Readonly<Record<"k" | "v", ScaleRule>> = { k: "norm-preserving", v: "least-squares" };

/** Our recipe. */
const recipeSpec = (bits: number | string, side: "k" | "v"): SideSpec => ({
  type: `tq${bits}`,
  scale: RECIPE_SCALES[side],
  search: true,
  transform: true,
  feedback: true,
  qjl: false,
  // Of the recipe, whatever the width; `settled` takes it from the sides that have none.
  trellis: true,
});

/** Sinks and window that our presets have, which take a calibration where there is one. */
const OURS = { sinks: 4, window: 128, calibration: "auto" } as const;

export const turboQuantSyntax: SideSyntax = {
  types: ["tq1 … tq8"],
  /** A width is taken with the rules of the side it replaces. */
  parseType(text, side, like) {
    const bits = turboQuantBits(text);
    if (!bits) return null;
    return turboQuantBits(like.type) ? { ...like, type: `tq${bits}`, qjl: false } : recipeSpec(bits, side);
  },
  presets: ["kNvM with N and M from 1 to 8 (k4v4)", "paper-N"],
  examples: ["k4v4", "k5v4", "k8v4", "k3v3", "paper-4"],
  parsePreset(text): PresetDraft | null {
    const widths = /^k([1-8])v([1-8])$/.exec(text);
    if (widths) return { k: recipeSpec(widths[1]!, "k"), v: recipeSpec(widths[2]!, "v"), ...OURS };
    const bits = turboQuantBits(text);
    if (bits) return { k: recipeSpec(bits, "k"), v: recipeSpec(bits, "v"), ...OURS };
    const published = /^paper-([1-8])$/.exec(text)?.[1];
    if (!published) return null;
    const side = plainSpec(`tq${published}`);
    return { k: side, v: side };
  },
};
