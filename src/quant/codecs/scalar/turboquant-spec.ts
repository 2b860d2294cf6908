/** @file Parses specs of TurboQuant codes (tqN, kNvM, paper-N), which scalar codes, the trellis and the sketch have in common. */
import type { Bits, ScaleRule } from "../../rules.ts";
import {
  failSpec,
  oneOf,
  type PresetDraft,
  parseCount,
  plainSpec,
  type SideModifier,
  type SideSpec,
  type SideSyntax,
} from "../side-spec.ts";

/** Code width of a type; null for types other than TurboQuant's. */
export function turboQuantBits(type: string): Bits | null {
  const bits = /^tq-?([1-8])$/.exec(type)?.[1];
  return bits ? (Number(bits) as Bits) : null;
}

/** A preset in canonical form: with the widths of both sides, where a type stands for both. */
export const canonicalPreset = (preset: string): string => preset.replace(/^tq-?([1-8])$/, "k$1v$1");

/** The scale rules of our recipe, which `scale=auto` selects. */
const RECIPE_SCALES: Readonly<Record<"k" | "v", ScaleRule>> = { k: "norm-preserving", v: "least-squares" };

/** A side with all options of our recipe. */
const recipeSpec = (bits: number | string, side: "k" | "v"): SideSpec => ({
  type: `tq${bits}`,
  scale: RECIPE_SCALES[side],
  search: true,
  transform: true,
  feedback: true,
  qjl: false,
  // Part of the recipe for every width; `dropImpossibleTrellis` removes it from the sides that cannot have a trellis.
  trellis: true,
});

/** Sinks and window of our presets are those of the recipe (`window-side.ts`); they also use a calibration if there is one. */
const OURS = { sinks: undefined, window: undefined, windowBits: undefined, calibration: "auto" } as const;

export const turboQuantSyntax: SideSyntax = {
  types: ["tq1 … tq8"],
  /** A width takes the options of the side it replaces. */
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

const SCALES = ["auto", "norm", "norm-preserving", "least-squares"] as const;

/** One of the recipe's options that are either on or off. */
const option = (name: "search" | "transform" | "feedback"): SideModifier => ({
  name,
  parse(value) {
    const on = oneOf(name, value, ["on", "off"]) === "on";
    return () => ({ [name]: on });
  },
});

/** Options of the recipe; a side that lacks one leaves it out. */
export const turboQuantModifiers: readonly SideModifier[] = [
  {
    name: "scale",
    parse(value) {
      const rule = oneOf("scale", value, SCALES);
      return (_, side) => ({ scale: rule === "auto" ? RECIPE_SCALES[side] : rule });
    },
  },
  option("search"),
  option("transform"),
  option("feedback"),
  {
    name: "codebook",
    parse(value) {
      const codebookIterations = parseCount("codebook", value, 100_000);
      if (codebookIterations < 1)
        failSpec("codebook=0: expected at least 1 of Lloyd's iterations", { codebook: value });
      return ({ type }) => (turboQuantBits(type) ? { codebookIterations, trellis: undefined } : {});
    },
  },
];
