/**
 * @file Codes a token anew from its row in an 8-bit window, when the window has passed it.
 *
 * The row's numbers are f32(scale · centroid), of the scale as stored and of the centroid for a unit vector rounded to f32: the vector that
 * other codecs would have been given, but for the error of 8 bits. It is in the space of the codes, so nothing is rotated.
 */
import { fromFloat16Bits } from "../math/float16.ts";
import { getCodebook } from "./codebook.ts";
import { readCodes, viewOf } from "./codecs/code-planes.ts";
import type { LayerKvFormat } from "./kv-format.ts";
import type { PageLayout } from "./page-layout.ts";
import { rowAt } from "./page-regions.ts";
import { RowCodec } from "./row-codec.ts";

/** The centroids that a row of 8 bits is read with, for unit vectors of headDim coordinates, [256]. */
export const windowCentroids = (headDim: number): Float32Array => Float32Array.from(getCodebook(headDim, 8).centroids);

/** A row in a page. */
export interface RowPlace {
  readonly page: Uint8Array;
  readonly layout: PageLayout;
  readonly row: number;
}

/** Of one side of a layer. */
export class Recoder {
  readonly #side: "k" | "v";
  readonly #codec: RowCodec;
  readonly #centroids: Float32Array;
  readonly #codes: Uint8Array;
  readonly #vector: Float32Array;

  /** headDim: of the side */
  constructor(format: LayerKvFormat, side: "k" | "v", headDim: number) {
    this.#side = side;
    this.#codec = new RowCodec(format[side], format, headDim);
    this.#centroids = windowCentroids(headDim);
    this.#codes = new Uint8Array(headDim);
    this.#vector = new Float32Array(headDim);
  }

  /** Codes a head's row of the window into a page of codes. feedback: of the head's calibration */
  recode(from: RowPlace, to: RowPlace, head: number, feedback: Float32Array | null = null): void {
    const { planes, scales } = from.layout[this.#side];
    readCodes(this.#codes, 8, from.page, planes, head, from.row);
    const scale = fromFloat16Bits(viewOf(from.page).getUint16(rowAt(scales[0]!, head, from.row), true));
    for (let i = 0; i < this.#vector.length; i++) this.#vector[i] = scale * this.#centroids[this.#codes[i]!]!;
    this.#codec.write(this.#vector, to.page, to.layout, this.#side, head, to.row, feedback);
  }
}
