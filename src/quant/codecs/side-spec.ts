/** @file A side of a KV spec while it is being parsed: the name of a type and all modifiers, whether its codec supports them or not. */
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

/** A spec while it is being parsed. */
export interface Draft {
  k: SideSpec;
  v: SideSpec;
  sinks: number;
  window: number;
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

export type PresetDraft = Pick<Draft, "k" | "v"> & Partial<Draft>;

/** The values of fields that a preset leaves out. */
export const BARE: Omit<Draft, "k" | "v"> = { sinks: 0, window: 0, rotation: "hadamard", seed: 0, calibration: "off" };

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
