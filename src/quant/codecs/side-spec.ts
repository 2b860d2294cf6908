/** @file A side of a KV spec while it is being parsed: the name of a type and all modifiers, whether its codec supports them or not. */
import { closest } from "../../closest.ts";
import { TurboQuantError } from "../../errors.ts";
import type { RotationKind, ScaleRule } from "../rules.ts";

/** Codecs make their sides from this (`SideCodec.sideOf`). */
export interface SideSpec {
  /** The type's name in specs and tables: f16, q8_0, tq4. */
  readonly type: string;
  readonly scale: ScaleRule;
  readonly search: boolean;
  readonly transform: boolean;
  readonly feedback: boolean;
  readonly trellis?: boolean | undefined;
  /** Whether one of the type's bits became a QJL sketch. */
  readonly qjl: boolean;
  readonly projections?: number;
  readonly codebookIterations?: number;
}

/** As `Tier`. */
export interface DraftTier {
  k: SideSpec;
  v: SideSpec;
  readonly after: number;
}

/** A spec while it is being parsed. */
export interface Draft {
  k: SideSpec;
  v: SideSpec;
  /** undefined: as our recipe has them (`windowsOf`), as of the next two */
  sinks: number | undefined;
  window: number | undefined;
  windowBits: 8 | 16 | undefined;
  tiers?: readonly DraftTier[];
  rotation: RotationKind;
  seed: number;
  /** `auto`, `off` or a file name. */
  calibration: string;
}

/** What a codec adds to the syntax of specs. */
export interface SideSyntax {
  /** Types for `k=`, `v=` and `layers=`, as messages list them. */
  readonly types: readonly string[];
  /** Parses a single type; null for any other text. like: the side that it replaces */
  parseType?(text: string, side: "k" | "v", like: SideSpec): SideSpec | null;
  /** Presets for both sides, as messages list them. */
  readonly presets: readonly string[];
  /** Presets to suggest for a mistyped one. */
  readonly examples: readonly string[];
  /** Parses a whole preset; null for any other text. Fields it leaves out are as in `BARE`. */
  parsePreset?(text: string): PresetDraft | null;
}

/** A modifier of specs that belongs to a codec, as in `trellis=off`. */
export interface SideModifier {
  readonly name: string;
  /**
   * What a value changes in each side of the spec.
   * sides: all of them, those of `layers=` too
   * @throws TurboQuantError invalid_argument — not a value of it, or there is no side that it could change
   */
  parse(value: string, sides: readonly SideSpec[]): (spec: SideSpec, side: "k" | "v") => Partial<SideSpec>;
}

export type PresetDraft = Pick<Draft, "k" | "v"> & Partial<Draft>;

/** The values of fields that a preset leaves out. */
export const BARE: Omit<Draft, "k" | "v"> = {
  sinks: 0,
  window: 0,
  windowBits: 16,
  rotation: "hadamard",
  seed: 0,
  calibration: "off",
};

/** A type without options, which is a codec as published. */
export const plainSpec = (type: string): SideSpec => ({
  type,
  scale: "norm",
  search: false,
  transform: false,
  feedback: false,
  qjl: false,
});

/** The syntax of types that are presets too, the same for both sides. */
export function typeSyntax(types: readonly string[]): SideSyntax {
  const parseType = (text: string): SideSpec | null => (types.includes(text) ? plainSpec(text) : null);
  return {
    types,
    parseType,
    presets: types,
    examples: types,
    parsePreset(text) {
      const side = parseType(text);
      return side && { k: side, v: side };
    },
  };
}

/** @throws TurboQuantError invalid_argument */
export function failSpec(message: string, detail: Record<string, unknown> = {}): never {
  throw new TurboQuantError("invalid_argument", `--kv: ${message}`, detail);
}

/** @throws TurboQuantError invalid_argument */
export function parseCount(name: string, value: string, max: number): number {
  const count = Number(value);
  if (!/^\d+$/.test(value) || count > max)
    failSpec(`${name}=${value}: expected a whole number from 0 to ${max}`, { [name]: value });
  return count;
}

/** @throws TurboQuantError invalid_argument */
export function oneOf<T extends string>(name: string, value: string, choices: readonly T[]): T {
  if ((choices as readonly string[]).includes(value)) return value as T;
  const hint = closest(value, choices);
  failSpec(`${name}=${value}: expected ${choices.join(", ")}${hint ? `; did you mean ${hint}?` : ""}`, {
    [name]: value,
  });
}
