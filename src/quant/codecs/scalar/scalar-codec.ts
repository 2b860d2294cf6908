/** @file TurboQuant_mse: an index into a Lloyd–Max codebook for each rotated coordinate, and one f16 scale a row. */
import { fromFloat16Bits, toFloat16Bits } from "../../../math/float16.ts";
import { getCodebook } from "../../codebook.ts";
import { type PageRegions, rowAt } from "../../page-regions.ts";
import type { Bits, ScaleRule } from "../../rules.ts";
import { MAX_FLOAT16 } from "../../sanitize.ts";
import { VectorQuantizer } from "../../vector-quantizer.ts";
import { planesOf, readCodes, viewOf, writeCodes } from "../code-planes.ts";
import type { SideCodec, StoredRows } from "../side-codec.ts";
import { hasTrellis } from "../trellis/trellis-spec.ts";
import { turboQuantBits, turboQuantModifiers, turboQuantSyntax } from "./turboquant-spec.ts";

export interface ScalarSide {
  readonly kind: "scalar";
  readonly bits: Bits;
  readonly scale: ScaleRule;
  /** Try nine scales for each vector and keep the codes with the best cosine. */
  readonly search: boolean;
  /** Use the calibration's dense transform if there is one; otherwise keys use its mean and balance. */
  readonly transform: boolean;
  /** Round with error feedback if the calibration has a metric. */
  readonly feedback: boolean;
  /** Number of Lloyd's iterations for the codebook, to measure what stopping early costs; absent: the optimum. */
  readonly codebookIterations?: number;
}

class ScalarRows implements StoredRows {
  readonly #quantizer: VectorQuantizer;
  /** Centroids for a unit vector. */
  readonly #centroids: ArrayLike<number>;
  readonly #codes: Uint8Array;

  constructor({ bits, scale, search, codebookIterations }: ScalarSide, headDim: number) {
    this.#quantizer = new VectorQuantizer(headDim, bits, scale, search, codebookIterations);
    this.#centroids = getCodebook(headDim, bits, codebookIterations).centroids;
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
    writeCodes(this.#quantizer.codes, this.#quantizer.bits, page, planes, head, row);
    viewOf(page).setUint16(rowAt(scales[0]!, head, row), toFloat16Bits(scale), true);
  }

  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const { planes, scales } = layout[side];
    readCodes(this.#codes, this.#quantizer.bits, page, planes, head, row);
    const scale = fromFloat16Bits(viewOf(page).getUint16(rowAt(scales[0]!, head, row), true));
    for (let i = 0; i < out.length; i++) out[i] = scale * this.#centroids[this.#codes[i]!]!;
  }
}

export const scalarCodec: SideCodec<ScalarSide> = {
  kind: "scalar",
  syntax: turboQuantSyntax,
  modifiers: turboQuantModifiers,
  sideOf(spec) {
    const bits = turboQuantBits(spec.type);
    if (!bits || spec.qjl || (spec.trellis && hasTrellis(spec))) return null;
    const { scale, search, transform, feedback, codebookIterations: iterations } = spec;
    const own = iterations === undefined ? {} : { codebookIterations: iterations };
    return { kind: "scalar", bits, scale, search, transform, feedback, ...own };
  },
  typeOf: ({ bits }) => `tq${bits}`,
  nameOf: ({ bits, codebookIterations: n }) => (n === undefined ? `tq${bits}` : `tq${bits},codebook=${n}`),
  isFloat: false,
  bitsOf: ({ bits }) => bits,
  isRotated: () => true,
  largestOf: () => MAX_FLOAT16,
  regionsOf: ({ bits }, { headDim }) => ({
    planes: planesOf(bits, headDim),
    scales: [{ name: "scales", rowBytes: 2 }],
  }),
  rowsOf: (side, headDim) => new ScalarRows(side, headDim),
  centroidsOf: ({ bits, codebookIterations: n }, headDim) => Float32Array.from(getCodebook(headDim, bits, n).centroids),
  shapingOf: (side) => side,
  recipeOf: ({ bits, scale, search, transform, feedback }) => ({
    scale,
    search,
    transform,
    feedback,
    hasSketch: false,
    ...(bits === 2 && { trellis: false }),
  }),
  distortionOf: ({ bits }, headDim) => getCodebook(headDim, bits).distortion,
};
