/** @file Parses `--kv SPEC`, presets and modifiers, into the format of each layer (docs/cli.md lists them). */

import { closest } from "../closest.ts";
import { TurboQuantError } from "../errors.ts";
import { isFloat, isWholePage, nameOf, sideOf } from "./codecs/registry.ts";
import { canonicalPreset, RECIPE_SCALES, turboQuantBits } from "./codecs/scalar/turboquant-spec.ts";
import { type Draft, failSpec, type SideSpec } from "./codecs/side-spec.ts";
import { dropImpossibleTrellis, hasTrellis } from "./codecs/trellis/trellis-spec.ts";
import type { LayerKvFormat, SideFormat } from "./kv-format.ts";
import { ALIASES, findType, parsePreset, parseType } from "./kv-presets.ts";
import { PAGE_TOKENS } from "./page-regions.ts";
import { MAX_PROJECTIONS } from "./qjl.ts";
import type { RotationKind, ScaleRule } from "./rules.ts";

export interface KvSpec {
  /** The canonical text; equal texts mean equal formats. */
  readonly text: string;
  /** `auto` (the model's own calibration, if it has one), `off`, or a file name. */
  readonly calibration: string;
  /** True when no layer stores codes. */
  readonly isFloat: boolean;
  forLayer(layer: number): LayerKvFormat;
  /** @throws TurboQuantError invalid_argument — a layers= range beyond the model */
  validateLayers(numLayers: number): void;
}

/** A side that is absent keeps the format it has outside the range. */
interface LayerRange<S> {
  readonly first: number;
  readonly last: number;
  k?: S;
  v?: S;
}

const MODIFIERS = [
  "sinks",
  "window",
  "scale",
  "search",
  "rotation",
  "calibration",
  "transform",
  "feedback",
  "trellis",
  "layers",
  "seed",
  "qjl",
  "codebook",
  "k",
  "v",
];
const SCALES = ["auto", "norm", "norm-preserving", "least-squares"];
const ROTATIONS: readonly RotationKind[] = ["hadamard", "qr", "none"];

function parseCount(name: string, value: string, max: number): number {
  const count = Number(value);
  if (!/^\d+$/.test(value) || count > max)
    failSpec(`${name}=${value}: expected a whole number from 0 to ${max}`, { [name]: value });
  return count;
}

function oneOf<T extends string>(name: string, value: string, choices: readonly T[]): T {
  if ((choices as readonly string[]).includes(value)) return value as T;
  const hint = closest(value, choices);
  failSpec(`${name}=${value}: expected ${choices.join(", ")}${hint ? `; did you mean ${hint}?` : ""}`, {
    [name]: value,
  });
}

/**
 * Parses `0-1:k8v8` or `3:f16`, several joined by `+`. Of the inner preset only the two sides are used, not its window. `3:k5`,
 * `3:vf16` and `3:k4+qjl` change one side and keep the recipe of `base`.
 */
function parseLayers(value: string, base: { readonly k: SideSpec; readonly v: SideSpec }): LayerRange<SideSpec>[] {
  // A + belongs to the preset (paper-4+qjl), unless it is followed by another range.
  return value.split(/\+(?=\d+(?:-\d+)?:)/).map((part) => {
    const match = /^(\d+)(?:-(\d+))?:(.+)$/.exec(part);
    if (!match) failSpec(`layers=${part}: expected FIRST-LAST:PRESET, for example layers=0-1:k8v8`, { layers: part });
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (last < first) failSpec(`layers=${part}: the range ends before it begins`, { layers: part });
    const preset = match[3]!;
    const one = /^([kv])(.+)$/.exec(preset);
    if (one) {
      const side = one[1] as "k" | "v";
      // A width alone is that of a TurboQuant type.
      const found = findType(one[2]!.replace(/^(?=[1-8](?:\+|$))/, "tq"), side, base[side]);
      if (found) return { first, last, [side]: found };
    }
    const { k, v } = parsePreset(preset);
    return { first, last, k, v };
  });
}

/** Applies modifiers, and returns the ranges of `layers=`. */
function parseModifiers(parts: readonly string[], draft: Draft): LayerRange<SideSpec>[] {
  const ranges: LayerRange<SideSpec>[] = [];
  // Sides come first and `layers=` second: layers= refers to what k= and v= chose, and options such as scale= and search= apply
  // to all of them, whatever their order in the text.
  const order = (part: string): number => (/^[kv]=/.test(part) ? 0 : part.startsWith("layers=") ? 1 : 2);
  const changeSides = (change: (side: "k" | "v", format: SideSpec) => Partial<SideSpec>): void => {
    for (const target of [draft, ...ranges]) {
      for (const side of ["k", "v"] as const) {
        const format = target[side];
        if (format) target[side] = { ...format, ...change(side, format) };
      }
    }
  };
  for (const part of [...parts].sort((a, b) => order(a) - order(b))) {
    const at = part.indexOf("=");
    const name = at < 0 ? part : part.slice(0, at);
    const value = part.slice(at + 1);
    if (!MODIFIERS.includes(name)) {
      const hint = closest(name, MODIFIERS);
      failSpec(`unknown modifier "${name}"; choose ${MODIFIERS.join(", ")}${hint ? `; did you mean ${hint}?` : ""}`, {
        name,
      });
    }
    if (at < 0 || value === "") failSpec(`${name} needs a value, as in ${name}=…`, { name });
    switch (name) {
      case "k":
      case "v":
        draft[name] = parseType(value, name, draft[name]);
        break;
      case "sinks":
        draft.sinks = parseCount(name, value, 65_536);
        break;
      case "window":
        draft.window = parseCount(name, value, 65_536);
        break;
      case "seed":
        draft.seed = parseCount(name, value, 2 ** 32 - 1);
        break;
      case "scale": {
        const rule = oneOf(name, value, SCALES);
        changeSides((side) => ({ scale: rule === "auto" ? RECIPE_SCALES[side] : (rule as ScaleRule) }));
        break;
      }
      case "search":
      case "transform":
      case "feedback": {
        const on = oneOf(name, value, ["on", "off"]) === "on";
        changeSides(() => ({ [name]: on }));
        break;
      }
      case "trellis": {
        const on = oneOf(name, value, ["on", "off"]) === "on";
        if (on && ![draft, ...ranges].some(({ k, v }) => [k, v].some((side) => side && hasTrellis(side)))) {
          failSpec("trellis=on: expected codes of 2 bits on a side (k2v2, paper-2); other widths have no trellis", {
            trellis: value,
          });
        }
        changeSides(() => ({ trellis: on || undefined }));
        break;
      }
      case "qjl": {
        const projections = parseCount(name, value, MAX_PROJECTIONS);
        if (projections < 8 || projections % 8 !== 0) {
          failSpec(
            `qjl=${value}: expected a multiple of 8 from 8 to ${MAX_PROJECTIONS}, the projections of the sketch`,
            {
              qjl: value,
            },
          );
        }
        if (![draft, ...ranges].some((target) => target.k?.qjl)) {
          failSpec(`qjl=${value}: expected a preset with a sketch; choose paper-N+qjl`, { qjl: value });
        }
        changeSides((_, side) => (side.qjl ? { projections } : {}));
        break;
      }
      case "codebook": {
        const codebookIterations = parseCount(name, value, 100_000);
        if (codebookIterations < 1)
          failSpec("codebook=0: expected at least 1 of Lloyd's iterations", { codebook: value });
        changeSides((_, side) => (turboQuantBits(side.type) ? { codebookIterations, trellis: undefined } : {}));
        break;
      }
      case "rotation":
        draft.rotation = oneOf(name, value, ROTATIONS);
        break;
      case "calibration":
        draft.calibration = value;
        break;
      default:
        ranges.push(...parseLayers(value, draft));
    }
  }
  return ranges;
}

/**
 * Parses a KV spec, e.g. `k4v4`, `paper-4,v=f16`, `k4v4,sinks=0,window=0,layers=0-1:k8v8`.
 * @throws TurboQuantError invalid_argument — names the wrong part, what is allowed, and the nearest name
 */
export function parseKvSpec(spec: string): KvSpec {
  const text = spec.trim();
  const [preset = "", ...modifiers] = text.split(",").map((part) => part.trim());
  const expanded = ALIASES.get(preset);
  if (expanded) return parseKvSpec([expanded, ...modifiers].join(","));
  const { draft, ranges: drafts } = build(preset, modifiers);
  const { calibration, ...shared } = draft;
  const base = { ...shared, k: sideOf(draft.k), v: sideOf(draft.v) };
  const ranges = drafts.map(({ first, last, k, v }): LayerRange<SideFormat> => {
    return { first, last, ...(k && { k: sideOf(k) }), ...(v && { v: sideOf(v) }) };
  });
  const sides = [base, ...ranges].flatMap(({ k, v }) => [k, v]).filter((side) => side !== undefined);
  const whole = sides.find(isWholePage);
  if (whole) checkWholePages(whole, draft.window);
  return {
    text: canonical(preset, modifiers),
    calibration,
    isFloat: sides.every(isFloat),
    forLayer(layer) {
      let { k, v } = base;
      for (const range of ranges) if (layer >= range.first && layer <= range.last) ({ k = k, v = v } = range);
      return { ...base, k, v };
    },
    validateLayers(numLayers) {
      for (const { first, last } of ranges) {
        if (last < numLayers) continue;
        failSpec(`layers=${first}-${last}: the model has layers 0 to ${numLayers - 1}`, { last, numLayers });
      }
    },
  };
}

/** Tokens of a page that is stored when it is full have only their 16-bit copies until then. */
function checkWholePages(side: SideFormat, window: number): void {
  if (window >= PAGE_TOKENS) return;
  failSpec(
    `window=${window}: ${nameOf(side)} stores ${PAGE_TOKENS} tokens together, so expected a window of ${PAGE_TOKENS} or more`,
    { window },
  );
}

function build(preset: string, modifiers: readonly string[]): { draft: Draft; ranges: LayerRange<SideSpec>[] } {
  const draft = parsePreset(preset);
  const ranges = parseModifiers(modifiers, draft);
  for (const target of [draft, ...ranges]) {
    if (target.k) target.k = dropImpossibleTrellis(target.k);
    if (target.v) target.v = dropImpossibleTrellis(target.v);
  }
  return { draft, ranges };
}

/**
 * Whether these parts form a spec with this result. Parts can become
 * invalid when others are removed, e.g. a trellis= whose v= is missing.
 */
function isBuilt(preset: string, modifiers: readonly string[], result: string): boolean {
  try {
    return JSON.stringify(build(preset, modifiers)) === result;
  } catch (error) {
    if (error instanceof TurboQuantError) return false;
    throw error;
  }
}

/** The preset with those modifiers that change something, sorted by name. */
function canonical(preset: string, modifiers: readonly string[]): string {
  const result = JSON.stringify(build(preset, modifiers));
  let kept = modifiers;
  // One is removed at a time, because of two equal ones only one may
  // go. Earlier ones are tried first, since later ones override them.
  for (let i = 0; i < kept.length; ) {
    const without = kept.toSpliced(i, 1);
    if (isBuilt(preset, without, result)) kept = without;
    else i++;
  }
  return [canonicalPreset(preset), ...kept.toSorted()].join(",");
}
