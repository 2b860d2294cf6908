/**
 * @file Codes a row anew in fewer bits: a token that leaves an 8-bit window, and the rows of a page that leaves its tier.
 *
 * The row's numbers are f32(scale · centroid), of the scale as stored and of the centroid for a unit vector rounded to f32: the vector that
 * other codecs would have been given, but for the error of the finer codes. It is in the space of the codes, so nothing is rotated, and the new codes
 * are a function of the old ones alone.
 */
import { assert } from "../errors.ts";
import { fromFloat16Bits } from "../math/float16.ts";
import { readCodes, viewOf } from "./codecs/code-planes.ts";
import { codecOf, nameOf } from "./codecs/registry.ts";
import type { LayerKvFormat, SideFormat } from "./kv-format.ts";
import type { PageLayout } from "./page-layout.ts";
import { rowAt } from "./page-regions.ts";
import { RowCodec } from "./row-codec.ts";

/** What the codes of a row are read with when it is coded anew, [2^bits], for unit vectors of headDim coordinates. */
export function recodedCentroids(side: SideFormat, headDim: number): Float32Array {
  const centroids = codecOf(side).centroidsOf?.(side, headDim);
  assert(centroids, `${nameOf(side)}: rows cannot be coded anew`);
  return centroids;
}

/** A row in a page. */
export interface RowPlace {
  readonly page: Uint8Array;
  readonly layout: PageLayout;
  readonly row: number;
}

/** Of one side of a layer. */
export class Recoder {
  readonly #side: "k" | "v";
  readonly #bits: number;
  readonly #codec: RowCodec;
  readonly #centroids: Float32Array;
  readonly #codes: Uint8Array;
  readonly #vector: Float32Array;

  /** from: what rows are stored as · to: what they become · headDim: of the side */
  constructor(
    from: SideFormat,
    to: SideFormat,
    format: Pick<LayerKvFormat, "rotation" | "seed">,
    side: "k" | "v",
    headDim: number,
  ) {
    this.#side = side;
    this.#bits = codecOf(from).bitsOf(from);
    this.#codec = new RowCodec(to, format, headDim);
    this.#centroids = recodedCentroids(from, headDim);
    this.#codes = new Uint8Array(headDim);
    this.#vector = new Float32Array(headDim);
  }

  /** Codes a head's row into another page. feedback: of the head's calibration */
  recode(from: RowPlace, to: RowPlace, head: number, feedback: Float32Array | null = null): void {
    const { planes, scales } = from.layout[this.#side];
    readCodes(this.#codes, this.#bits, from.page, planes, head, from.row);
    const scale = fromFloat16Bits(viewOf(from.page).getUint16(rowAt(scales[0]!, head, from.row), true));
    for (let i = 0; i < this.#vector.length; i++) this.#vector[i] = scale * this.#centroids[this.#codes[i]!]!;
    this.#codec.write(this.#vector, to.page, to.layout, this.#side, head, to.row, feedback);
  }
}
