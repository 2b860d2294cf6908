/**
 * @file Integers with a scale and a zero for each row, as other engines have them:
 *
 * - `int4`: a row (a token's vector of one head) as it is, not rotated. vLLM's `int4_per_token_head` (vllm#40835) spends as many bits a
 *   row on scale and zero, and rotates first: `int4,rotation=hadamard`.
 * - `oscar-2`: OSCAR (arXiv 2605.17757, FutureMLS-Lab/OSCAR): 2 bits after a rotation R = U·H·P of each KV head, U the eigenvectors of what
 *   attention sees, H a Hadamard matrix, P the bit reversal. Coordinates beyond a quantile of their row's magnitudes are clipped (0.96 for
 *   K, 0.92 for V), 64 sinks and the last 256 tokens stay in 16 bit. The rotations come as a calibration file
 *   (`turboquant calibrate --method oscar`); published code keeps scales and zeros of groups of 128 in 16 bits each, here a row has one
 *   group whatever its width.
 */
import { fromFloat16Bits } from "../../../math/float16.ts";
import { quantizeGroups } from "../../baselines/kivi.ts";
import { type PageRegions, rowAt } from "../../page-regions.ts";
import { MAX_FLOAT16 } from "../../sanitize.ts";
import { planesOf, readCodes, viewOf, writeCodes } from "../code-planes.ts";
import type { SideCodec, StoredRows } from "../side-codec.ts";
import { type PresetDraft, plainSpec, type SideSpec } from "../side-spec.ts";

export interface AffineSide {
  readonly kind: "affine";
  readonly bits: 2 | 4;
  /** Whether rows are rotated and clipped as OSCAR's are. */
  readonly isOscar: boolean;
}

/** Quantile of a row's magnitudes at which it is clipped. */
const OSCAR_CLIP = { k: 0.96, v: 0.92 } as const;
const [OSCAR_SINKS, OSCAR_WINDOW] = [64, 256];
const OSCAR_TYPE = "oscar2";

/** Clamps a row at its magnitude of rank ⌊quantile·n⌋. */
export function clipRow(x: Float32Array, quantile: number): void {
  const magnitudes = x.map(Math.abs).sort();
  const most = magnitudes[Math.min(x.length - 1, Math.floor(quantile * x.length))]!;
  for (let i = 0; i < x.length; i++) x[i] = Math.max(-most, Math.min(most, x[i]!));
}

class AffineRows implements StoredRows {
  readonly #side: AffineSide;
  readonly #codes: Uint8Array;

  constructor(side: AffineSide, headDim: number) {
    this.#side = side;
    this.#codes = new Uint8Array(headDim);
  }

  write(x: Float32Array, page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number): void {
    const { planes, scales } = layout[side];
    const { bits, isOscar } = this.#side;
    const own = x.slice();
    if (isOscar) clipRow(own, OSCAR_CLIP[side]);
    const group = quantizeGroups(own, bits, own.length);
    writeCodes(group.codes, bits, page, planes, head, row);
    const at = rowAt(scales[0]!, head, row);
    viewOf(page).setUint16(at, group.scales[0]!, true);
    viewOf(page).setUint16(at + 2, group.zeros[0]!, true);
  }

  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const { planes, scales } = layout[side];
    readCodes(this.#codes, this.#side.bits, page, planes, head, row);
    const at = rowAt(scales[0]!, head, row);
    const scale = fromFloat16Bits(viewOf(page).getUint16(at, true));
    const zero = fromFloat16Bits(viewOf(page).getUint16(at + 2, true));
    for (let i = 0; i < out.length; i++) out[i] = zero + this.#codes[i]! * scale;
  }
}

const typeOf = ({ isOscar }: AffineSide): string => (isOscar ? OSCAR_TYPE : "int4");

/** Presets; the sides of `oscar-2` are not for single use, as K and V share sinks, window and rotations. */
const PRESETS: ReadonlyMap<string, PresetDraft> = new Map([
  ["int4", { k: plainSpec("int4"), v: plainSpec("int4"), rotation: "none" }],
  [
    "oscar-2",
    {
      k: plainSpec(OSCAR_TYPE),
      v: plainSpec(OSCAR_TYPE),
      rotation: "none",
      sinks: OSCAR_SINKS,
      window: OSCAR_WINDOW,
    },
  ],
]);

export const affineCodec: SideCodec<AffineSide> = {
  kind: "affine",
  syntax: {
    types: ["int4"],
    parseType: (text): SideSpec | null => (text === "int4" ? plainSpec(text) : null),
    presets: [...PRESETS.keys()],
    examples: [...PRESETS.keys()],
    parsePreset: (text) => PRESETS.get(text) ?? null,
  },
  sideOf({ type }) {
    if (type === "int4") return { kind: "affine", bits: 4, isOscar: false };
    return type === OSCAR_TYPE ? { kind: "affine", bits: 2, isOscar: true } : null;
  },
  typeOf,
  nameOf: typeOf,
  isFloat: false,
  bitsOf: ({ bits }) => bits,
  // Of `int4` only where the format says so; OSCAR's rotation is in its calibration.
  isRotated: ({ isOscar }) => !isOscar,
  largestOf: () => MAX_FLOAT16,
  regionsOf: ({ bits }, { headDim }) => ({
    planes: planesOf(bits, headDim),
    scales: [{ name: "scales", rowBytes: 4 }],
  }),
  rowsOf: (side, headDim) => new AffineRows(side, headDim),
  shapingOf: ({ isOscar }) => (isOscar ? { transform: true, feedback: false } : null),
  calibrationOf: ({ isOscar }) =>
    isOscar
      ? "its rotations; make them with: turboquant calibrate --method oscar --out oscar.safetensors, and pass calibration=oscar.safetensors"
      : null,
};
