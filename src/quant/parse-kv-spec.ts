/** @file Parses `--kv SPEC`, presets and modifiers, into the format of each layer (docs/cli.md lists them). */

import { closest } from "../closest.ts";
import { TurboQuantError } from "../errors.ts";
import { allCodecs, codecOf, isFloat, isWholePage, nameOf, sideOf } from "./codecs/registry.ts";
import { canonicalPreset } from "./codecs/scalar/turboquant-spec.ts";
import { type Draft, failSpec, oneOf, parseCount, type SideModifier, type SideSpec } from "./codecs/side-spec.ts";
import { dropImpossibleTrellis } from "./codecs/trellis/trellis-spec.ts";
import { indexSide } from "./index-side.ts";
import type { LayerKvFormat, SideFormat } from "./kv-format.ts";
import { ALIASES, findType, parsePreset, parseType } from "./kv-presets.ts";
import { KEPT_KINDS, type KeptKind } from "./layer-kinds.ts";
import { PAGE_TOKENS } from "./page-regions.ts";
import { canonicalTiers, specParts } from "./parse-tiers.ts";
import type { RotationKind } from "./rules.ts";
import { canBeEightBits, checkWindowSides, type Window, type Windows, windowsOf } from "./window-side.ts";

export interface KvSpec {
  /** The canonical text; equal texts mean equal formats. */
  readonly text: string;
  /** `auto` (the model's own calibration, if it has one), `off`, or a file name. */
  readonly calibration: string;
  /** Whether `calibration=auto` was asked for in so many words: then one is made for a model that has none. */
  readonly makesCalibration: boolean;
  /** True when no layer stores codes. */
  readonly isFloat: boolean;
  /**
   * Call `forModel` first, where layers are of latent attention or `layers=` names kinds: without a model no layer is of any kind. isIndex: of the
   * keys of an indexer that the layer has beside its own
   */
  forLayer(layer: number, isIndex?: boolean): LayerKvFormat;
  /**
   * The same spec for the layers of a model: with the kinds of `layers=` by their numbers, and 16 bits for the windows of latent attention.
   * kinds: of what each of them keeps
   * @throws TurboQuantError invalid_argument — a layers= range beyond the model, or a kind that no layer is of
   */
  forModel(kinds: readonly (readonly KeptKind[])[]): KvSpec;
}

/** By number: all that the layers keep, or their keys of an indexer alone. */
type Layers =
  | { readonly first: number; readonly last: number; readonly ofIndex?: boolean }
  | { readonly kind: KeptKind };

/** A side that is absent keeps the format it has outside the range. */
interface LayerRange<S> {
  readonly layers: Layers;
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

const TOLD_BY_TIERS: readonly string[] = ["k", "v", "window"];

const KIND = KEPT_KINDS.join("|");
/** A + belongs to the preset (paper-4+qjl), unless it is followed by other layers. */
const BETWEEN_LAYERS = /\+(?=(?:\d+(?:-\d+)?|[a-z]+):)/;
const LAYERS = new RegExp(`^(?:(\\d+)(?:-(\\d+))?|(${KIND})):(.+)$`);

/**
 * Parses `0-1:k8v8`, `3:f16` or `sliding:f16`, several joined by `+`. Of the inner preset only the two sides are used, not its window.
 * `3:k5`, `3:vf16` and `3:k4+qjl` change one side and keep the recipe of `base`.
 */
function parseLayers(value: string, base: { readonly k: SideSpec; readonly v: SideSpec }): LayerRange<SideSpec>[] {
  return value.split(BETWEEN_LAYERS).map((part) => {
    const match = LAYERS.exec(part);
    if (!match) {
      const hint = closest(part.split(":")[0]!, KEPT_KINDS);
      failSpec(
        `layers=${part}: expected FIRST-LAST:PRESET, for example layers=0-1:k8v8, or KIND:PRESET of ${KEPT_KINDS.join(", ")}${hint ? `; did you mean ${hint}?` : ""}`,
        { layers: part },
      );
    }
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (last < first) failSpec(`layers=${part}: the range ends before it begins`, { layers: part });
    const layers: Layers = match[3] ? { kind: match[3] as KeptKind } : { first, last };
    const preset = match[4]!;
    const one = /^([kv])(.+)$/.exec(preset);
    if (one) {
      const side = one[1] as "k" | "v";
      // A width alone is that of a TurboQuant type.
      const found = findType(one[2]!.replace(/^(?=[1-8](?:\+|$))/, "tq"), side, base[side]);
      if (found) return { layers, [side]: found };
    }
    const { k, v } = parsePreset(preset);
    return { layers, k, v };
  });
}

/** Applies modifiers, and returns the ranges of `layers=`. */
function parseModifiers(parts: readonly string[], draft: Draft): LayerRange<SideSpec>[] {
  const ranges: LayerRange<SideSpec>[] = [];
  // Sides come first and `layers=` second: layers= refers to what k= and v= chose, and modifiers of codecs apply
  // to all of them, whatever their order in the text.
  const order = (part: string): number => (/^[kv]=/.test(part) ? 0 : part.startsWith("layers=") ? 1 : 2);
  const changeSides = ({ parse }: SideModifier, value: string): void => {
    const targets: { k?: SideSpec; v?: SideSpec }[] = [draft, ...ranges, ...(draft.tiers ?? [])];
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
    if (draft.tiers && TOLD_BY_TIERS.includes(name)) {
      failSpec(`${part}: tiers= says what tokens of each age are stored as; leave ${name}= out and change the tiers`, {
        name,
      });
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
        if (!value.endsWith("bit")) draft.window = parseCount(name, value, 65_536);
        else draft.windowBits = oneOf(name, value, ["8bit", "16bit"]) === "8bit" ? 8 : 16;
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
  const [preset, ...modifiers] = specParts(text);
  const expanded = ALIASES.get(preset);
  if (expanded) return parseKvSpec([expanded, ...modifiers].join(","));
  const { draft, windows, ranges: drafts } = build(preset, modifiers);
  const { calibration, tiers: draftTiers, rotation, seed, windowBits } = draft;
  const tiers = draftTiers?.map(({ k, v, after }) => ({ k: sideOf(k), v: sideOf(v), after }));
  const base = { k: sideOf(draft.k), v: sideOf(draft.v), ...(tiers && { tiers }), rotation, seed };
  const ranges = drafts.map(({ layers, k, v }): LayerRange<SideFormat> => {
    return { layers, ...(k && { k: sideOf(k) }), ...(v && { v: sideOf(v) }) };
  });
  const sides = [base, ...ranges, ...(tiers ?? [])].flatMap(({ k, v }) => [k, v]).filter((side) => side !== undefined);
  const whole = sides.find(isWholePage);
  if (whole) checkWholePages(whole, windows.halves.window);
  checkOwnCalibration(sides, calibration);
  if (windowBits === 8)
    for (const each of [base, ...ranges, ...(tiers ?? [])])
      checkWindowSides({ k: each.k ?? base.k, v: each.v ?? base.v });
  const facts = {
    text: canonical(preset, modifiers),
    calibration,
    makesCalibration: calibration === "auto" && modifiers.some((part) => part.startsWith("calibration=")),
    isFloat: sides.every(isFloat),
  };
  return withRanges(facts, { base, windows, latents: [] }, ranges);
}

interface Base {
  readonly base: Omit<LayerKvFormat, keyof Window>;
  readonly windows: Windows;
  /** Layers of latent attention, by their numbers. */
  readonly latents: readonly number[];
}

function withRanges(
  facts: Pick<KvSpec, "text" | "calibration" | "makesCalibration" | "isFloat">,
  { base, windows, latents }: Base,
  ranges: readonly LayerRange<SideFormat>[],
): KvSpec {
  const spec: KvSpec = {
    ...facts,
    forLayer(layer, isIndex = false) {
      let { k, v, tiers } = base;
      let isNamed = false;
      for (const { layers, ...sides } of ranges) {
        if (!("first" in layers) || layer < layers.first || layer > layers.last) continue;
        if (layers.ofIndex && !isIndex) continue;
        ({ k = k, v = v } = sides);
        isNamed = layers.ofIndex ?? false;
        // What is said of a layer by itself holds for tokens of any age.
        tiers = undefined;
      }
      if (isIndex && !isNamed) k = indexSide(k);
      const isHalves = isIndex || latents.includes(layer) || !canBeEightBits({ k, v });
      return { ...base, k, v, ...windows[isHalves ? "halves" : "own"], ...(base.tiers && { tiers }) };
    },
    forModel: (kinds) =>
      withRanges(
        facts,
        { base, windows, latents: kinds.flatMap((kept, layer) => (kept.includes("latent") ? layer : [])) },
        ranges.flatMap(({ layers, ...sides }) => layersIn(layers, kinds).map((own) => ({ layers: own, ...sides }))),
      ),
  };
  return spec;
}

/** The layers that are meant, by their numbers. */
function layersIn(layers: Layers, kinds: readonly (readonly KeptKind[])[]): Layers[] {
  if ("first" in layers) {
    if (layers.last < kinds.length) return [layers];
    const { first, last } = layers;
    failSpec(`layers=${first === last ? first : `${first}-${last}`}: the model has layers 0 to ${kinds.length - 1}`, {
      last,
      numLayers: kinds.length,
    });
  }
  const ofIndex = layers.kind === "index";
  const own = kinds.flatMap((kept, layer) =>
    kept.includes(layers.kind) ? { first: layer, last: layer, ...(ofIndex && { ofIndex }) } : [],
  );
  if (own.length > 0) return own;
  const there = KEPT_KINDS.filter((kind) => kinds.some((kept) => kept.includes(kind)));
  failSpec(
    `layers=${layers.kind}: the model has no such layer; ${there.length > 0 ? `its layers with keys and values are ${there.join(" and ")}` : "none of its layers has keys and values"}`,
    { kind: layers.kind },
  );
}

/** Tokens of a page that is stored when it is full have only their 16-bit copies until then. */
function checkWholePages(side: SideFormat, window: number): void {
  if (window >= PAGE_TOKENS) return;
  failSpec(
    `window=${window}: ${nameOf(side)} stores ${PAGE_TOKENS} tokens together, so expected a window of ${PAGE_TOKENS} or more`,
    { window },
  );
}

/** A codec that is nothing without constants of its own does not run on those of another, nor on none. */
function checkOwnCalibration(sides: readonly SideFormat[], calibration: string): void {
  if (calibration !== "off" && calibration !== "auto") return;
  for (const side of sides) {
    const needs = codecOf(side).calibrationOf?.(side);
    if (needs) failSpec(`${nameOf(side)} needs ${needs}`, { type: nameOf(side), calibration });
  }
}

interface Built {
  readonly draft: Draft;
  readonly windows: Windows;
  readonly ranges: LayerRange<SideSpec>[];
}

function build(preset: string, modifiers: readonly string[]): Built {
  const draft = parsePreset(preset);
  const ranges = parseModifiers(modifiers, draft);
  const targets: { k?: SideSpec; v?: SideSpec }[] = [draft, ...ranges, ...(draft.tiers ?? [])];
  for (const target of targets) {
    if (target.k) target.k = dropImpossibleTrellis(target.k);
    if (target.v) target.v = dropImpossibleTrellis(target.v);
  }
  return { draft, windows: windowsOf(draft, { k: sideOf(draft.k), v: sideOf(draft.v) }), ranges };
}

/** What a spec comes to: whatever of sinks and window it says itself, and whatever is our recipe's. */
function resultOf({ draft, windows, ranges }: Built): string {
  const { sinks: _sinks, window: _window, windowBits: _bits, ...rest } = draft;
  return JSON.stringify({ ...rest, windows, ranges });
}

/**
 * Whether these parts form a spec with this result. Parts can become
 * invalid when others are removed, e.g. a trellis= whose v= is missing.
 */
function isBuilt(preset: string, modifiers: readonly string[], result: string): boolean {
  try {
    return resultOf(build(preset, modifiers)) === result;
  } catch (error) {
    if (error instanceof TurboQuantError) return false;
    throw error;
  }
}

/** The preset with those modifiers that change something, sorted by name. */
function canonical(preset: string, modifiers: readonly string[]): string {
  const result = resultOf(build(preset, modifiers));
  let kept = modifiers;
  // One is removed at a time, because of two equal ones only one may
  // go. Earlier ones are tried first, since later ones override them.
  for (let i = 0; i < kept.length; ) {
    const without = kept.toSpliced(i, 1);
    if (isBuilt(preset, without, result)) kept = without;
    else i++;
  }
  return [canonicalTiers(canonicalPreset(preset)), ...kept.toSorted()].join(",");
}
