/** @file A side of a KV spec while it is being read: the name of a type and every modifier, whether its codec has it or not. */
import { TurboQuantError } from "../../errors.ts";
import type { RotationKind, ScaleRule } from "../rules.ts";

/** Codecs make their sides of it (`SideCodec.sideOf`). */
export interface SideSpec {
  /** As specs and tables call it: f16, q8_0, tq4. */
  readonly type: string;
  readonly scale: ScaleRule;
  readonly search: boolean;
  readonly transform: boolean;
  readonly feedback: boolean;
  readonly trellis?: boolean | undefined;
  /** One of the type's bits became a QJL sketch. */
  readonly qjl: boolean;
  readonly projections?: number;
  readonly codebookIterations?: number;
}

/** A spec that is being read. */
export interface Draft {
  k: SideSpec;
  v: SideSpec;
  sinks: number;
  window: number;
  rotation: RotationKind;
  seed: number;
  /** `auto`, `off` or a file. */
  calibration: string;
}

/** What a codec adds to the language of specs. */
export interface SideSyntax {
  /** Types for `k=`, `v=` and `layers=`, as messages list them. */
  readonly types: readonly string[];
  /** A type by itself; null where the text is none. like: the side it takes the place of */
  parseType?(text: string, side: "k" | "v", like: SideSpec): SideSpec | null;
  /** Recipes for both sides, as messages list them. */
  readonly presets: readonly string[];
  /** Presets that a mistyped one may have meant. */
  readonly examples: readonly string[];
  /** A whole recipe; null where the text is none. What it leaves out is as in `BARE`. */
  parsePreset?(text: string): PresetDraft | null;
}

export type PresetDraft = Pick<Draft, "k" | "v"> & Partial<Draft>;

/** What a preset that says nothing of it has. */
export const BARE: Omit<Draft, "k" | "v"> = { sinks: 0, window: 0, rotation: "hadamard", seed: 0, calibration: "off" };

/** A type with nothing on top: a codec as published. */
export const plainSpec = (type: string): SideSpec => ({
  type,
  scale: "norm",
  search: false,
  transform: false,
  feedback: false,
  qjl: false,
});

/** Names of types that are presets as well, the same for both sides. */
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
