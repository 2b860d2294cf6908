/**
 * @file Two-bit codes of a trellis, where a code and the one before
 * it stand for a value (trellis.ts), with one f16 scale for each row.
 */
import { fromFloat16Bits, toFloat16Bits } from "../../../math/float16.ts";
import { type PageRegions, rowAt } from "../../page-regions.ts";
import type { ScaleRule } from "../../rules.ts";
import { MAX_FLOAT16 } from "../../sanitize.ts";
import { TRELLIS_DISTORTION, TRELLIS_VALUES, trellisPlaces } from "../../trellis.ts";
import { VectorQuantizer } from "../../vector-quantizer.ts";
import { planesOf, readCodes, viewOf, writeCodes } from "../code-planes.ts";
import type { SideCodec, StoredRows } from "../side-codec.ts";
import { hasTrellis, trellisModifier } from "./trellis-spec.ts";

/** Fields as in `ScalarSide`. The search for codes looks ahead, so there is no search for a scale. */
export interface TrellisSide {
  readonly kind: "trellis";
  readonly scale: ScaleRule;
  readonly transform: boolean;
  readonly feedback: boolean;
}

const BITS = 2;

class TrellisRows implements StoredRows {
  readonly #quantizer: VectorQuantizer;
  readonly #codes: Uint8Array;

  constructor({ scale }: TrellisSide, headDim: number) {
    this.#quantizer = new VectorQuantizer(headDim, BITS, scale, false, undefined, true);
    this.#codes = new Uint8Array(headDim);
  }

  write(
    x: Float32Array,
    page: Uint8Array,
    layout: PageRegions,
    side: "k" | "v",
    head: number,
    row: number,
    feedback: Float32Array | null,
  ): void {
    const { planes, scales } = layout[side];
    const { scale } = this.#quantizer.quantize(x, 0, feedback);
    writeCodes(this.#quantizer.codes, BITS, page, planes, head, row);
    viewOf(page).setUint16(rowAt(scales[0]!, head, row), toFloat16Bits(scale), true);
  }

  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const { planes, scales } = layout[side];
    readCodes(this.#codes, BITS, page, planes, head, row);
    const scale = fromFloat16Bits(viewOf(page).getUint16(rowAt(scales[0]!, head, row), true));
    trellisPlaces(this.#codes);
    const unit = scale / Math.sqrt(out.length);
    for (let i = 0; i < out.length; i++) out[i] = unit * TRELLIS_VALUES[this.#codes[i]!]!;
  }
}

export const trellisCodec: SideCodec<TrellisSide> = {
  kind: "trellis",
  modifiers: [trellisModifier],
  sideOf(spec) {
    if (!spec.trellis || !hasTrellis(spec)) return null;
    const { scale, transform, feedback } = spec;
    return { kind: "trellis", scale, transform, feedback };
  },
  typeOf: () => `tq${BITS}`,
  nameOf: () => `tq${BITS} trellis`,
  isFloat: false,
  bitsOf: () => BITS,
  isRotated: () => true,
  largestOf: () => MAX_FLOAT16,
  regionsOf: (_, { headDim }) => ({ planes: planesOf(BITS, headDim), scales: [{ name: "scales", rowBytes: 2 }] }),
  rowsOf: (side, headDim) => new TrellisRows(side, headDim),
  shapingOf: (side) => side,
  recipeOf: ({ scale, transform, feedback }) => ({ scale, transform, feedback, trellis: true, hasSketch: false }),
  distortionOf: () => TRELLIS_DISTORTION,
};
