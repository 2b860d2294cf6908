/** @file Parses `--kv SPEC`, presets and modifiers, into the format of each layer (docs/cli.md lists them). */

import { closest } from "../closest.ts";
import { TurboQuantError } from "../errors.ts";
import { allCodecs, isFloat, isWholePage, nameOf, sideOf } from "./codecs/registry.ts";
import { canonicalPreset } from "./codecs/scalar/turboquant-spec.ts";
import { type Draft, failSpec, oneOf, parseCount, type SideModifier, type SideSpec } from "./codecs/side-spec.ts";
import { dropImpossibleTrellis } from "./codecs/trellis/trellis-spec.ts";
import type { LayerKvFormat, SideFormat } from "./kv-format.ts";
import { ALIASES, findType, parsePreset, parseType } from "./kv-presets.ts";
import { PAGE_TOKENS } from "./page-regions.ts";
import type { RotationKind } from "./rules.ts";

export interface KvSpec {
  /** The canonical text; equal texts mean equal formats. */
  readonly text: string;
  /** `auto` (the model's own calibration, if it has one), `off`, or a file name. */
  readonly calibration: string;
  /** Whether `calibration=auto` was asked for in so many words: then one is made for a model that has none. */
  readonly makesCalibration: boolean;
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

const ROTATIONS: readonly RotationKind[] = ["hadamard", "qr", "none"];

const codecModifiers = (): SideModifier[] => allCodecs().flatMap(({ modifiers }) => modifiers ?? []);
/** In the order in which messages list them. */
const modifierNames = (): string[] => [
  "sinks",
  "window",
  ...codecModifiers().map(({ name }) => name),
  "rotation",
  "calibration",
  "layers",
  "seed",
  "k",
  "v",
];

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
  // Sides come first and `layers=` second: layers= refers to what k= and v= chose, and modifiers of codecs apply
  // to all of them, whatever their order in the text.
  const order = (part: string): number => (/^[kv]=/.test(part) ? 0 : part.startsWith("layers=") ? 1 : 2);
  const changeSides = ({ parse }: SideModifier, value: string): void => {
    const targets = [draft, ...ranges];
    const change = parse(
      value,
      targets.flatMap(({ k, v }) => [k, v]).filter((side) => side !== undefined),
    );
    for (const target of targets) {
      for (const side of ["k", "v"] as const) {
        const spec = target[side];
        if (spec) target[side] = { ...spec, ...change(spec, side) };
      }
    }
  };
  for (const part of [...parts].sort((a, b) => order(a) - order(b))) {
    const at = part.indexOf("=");
    const name = at < 0 ? part : part.slice(0, at);
    const value = part.slice(at + 1);
    const names = modifierNames();
    if (!names.includes(name)) {
      const hint = closest(name, names);
      failSpec(`unknown modifier "${name}"; choose ${names.join(", ")}${hint ? `; did you mean ${hint}?` : ""}`, {
        name,
      });
    }
    if (at < 0 || value === "") failSpec(`${name} needs a value, as in ${name}=…`, { name });
    const ofCodec = codecModifiers().find((modifier) => modifier.name === name);
    if (ofCodec) {
      changeSides(ofCodec, value);
      continue;
    }
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
    makesCalibration: calibration === "auto" && modifiers.some((part) => part.startsWith("calibration=")),
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
