/**
 * @file One head's vector to its bytes in a page and back: the executable form of docs/formats/kv-page.md.
 *
 * f32 with one rounding an operation, in the documented order, so that kernels can match it byte for byte.
 */
import { assert } from "../errors.ts";
import { dot4 } from "../math/dot.ts";
import { codecOf } from "./codecs/registry.ts";
import type { SideCodec, StoredRows } from "./codecs/side-codec.ts";
import type { LayerKvFormat, SideFormat } from "./kv-format.ts";
import { isRotated, type PageLayout } from "./page-layout.ts";
import type { PreparedLayer } from "./prepared-layer.ts";
import { createRotation, type Rotation } from "./rotation.ts";
import { sanitize } from "./sanitize.ts";

/** Constants of one side of one KV head. Matrices are [headDim][headDim], row-major. */
export interface HeadCalibration {
  /** [headDim], subtracted; null for values. */
  readonly mean: Float32Array | null;
  /** [headDim], multiplied where there is no `forward`; null for values. */
  readonly balance: Float32Array | null;
  /** Takes the place of balance and rotation. */
  readonly forward: Float32Array | null;
  /** What `forward` asks of queries (keys) or of outputs (values). */
  readonly inverse: Float32Array | null;
  /** [headDim + 1][headDim], see `SideTransform.feedback`. */
  readonly feedback: Float32Array | null;
}

/** The constants of one side, head by head. */
export function headCalibrations(prepared: PreparedLayer, side: "k" | "v"): (head: number) => HeadCalibration | null {
  const { calibration, headDim } = prepared;
  if (!calibration) return () => null;
  const { forward, inverse, feedback } = prepared.transforms[side];
  const of = (all: Float32Array | null, head: number, length: number): Float32Array | null =>
    all?.subarray(head * length, (head + 1) * length) ?? null;
  const square = headDim * headDim;
  const isKey = side === "k";
  return (head) => ({
    mean: isKey ? of(calibration.keyMean, head, headDim) : null,
    balance: isKey ? of(calibration.balance, head, headDim) : null,
    forward: of(forward, head, square),
    inverse: of(inverse, head, square),
    feedback: of(feedback, head, square + headDim),
  });
}

/** x = matrix·x, every row by `dot4`. */
function multiplyInPlace(matrix: Float32Array, x: Float32Array): void {
  const d = x.length;
  const input = x.slice();
  for (let i = 0; i < d; i++) x[i] = dot4(matrix, i * d, input, 0, d);
}

/** What all codecs have in common is here, rows of bytes are the codec's own (codecs/). */
export class RowCodec {
  readonly side: SideFormat;
  readonly headDim: number;
  readonly #codec: SideCodec<SideFormat>;
  readonly #largest: number;
  readonly #rotation: Rotation | null;
  readonly #rows: StoredRows;

  constructor(side: SideFormat, format: Pick<LayerKvFormat, "rotation" | "seed">, headDim: number) {
    this.side = side;
    this.headDim = headDim;
    this.#codec = codecOf(side);
    this.#largest = this.#codec.largestOf(side);
    this.#rotation = isRotated(side, format) ? createRotation(format.rotation, headDim, format.seed) : null;
    this.#rows = this.#codec.rowsOf(side, headDim, format.seed);
  }

  /** Whether tokens of a page are stored all at once, by `storePage`; `write` does nothing then. */
  get isStoredWhole(): boolean {
    return this.#codec.storePage !== undefined;
  }

  /** Steps 1 to 3, in place: sanitize, calibrate, rotate. x: [headDim] */
  prepare(x: Float32Array, calibration: HeadCalibration | null = null): void {
    sanitize(x, this.#largest);
    const { mean = null, balance = null, forward = null } = calibration ?? {};
    if (mean) for (let i = 0; i < x.length; i++) x[i] = x[i]! - mean[i]!;
    if (forward) {
      multiplyInPlace(forward, x);
      return;
    }
    if (balance) for (let i = 0; i < x.length; i++) x[i] = x[i]! * balance[i]!;
    this.#rotation?.apply(x);
  }

  /**
   * A query into the space of this side's rows, in place: ⟨q, k⟩ is then that of q and what `read` gives, up to the softmax
   * shift ⟨q, mean⟩ that all keys share. q: [headDim]
   */
  prepareQuery(q: Float32Array, calibration: HeadCalibration | null = null): void {
    const { balance = null, inverse = null } = calibration ?? {};
    if (inverse) {
      multiplyInPlace(inverse, q);
      return;
    }
    if (balance) for (let i = 0; i < q.length; i++) q[i] = q[i]! / balance[i]!;
    this.#rotation?.apply(q);
  }

  /** A weighted sum of stored vectors back to where they came from, in place (values: no mean is added). x: [headDim] */
  restore(x: Float32Array, calibration: HeadCalibration | null = null): void {
    if (calibration?.inverse) multiplyInPlace(calibration.inverse, x);
    else this.#rotation?.invert(x);
  }

  /** Stores a prepared vector as row `row` of head `head`. feedback: of the head's calibration */
  write(
    x: Float32Array,
    page: Uint8Array,
    layout: PageLayout,
    side: "k" | "v",
    head: number,
    row: number,
    feedback: Float32Array | null = null,
  ): void {
    this.#rows.write(x, page, layout, side, head, row, feedback);
  }

  /** Stores all rows of one head of a full page. rows: [pageTokens][headDim], prepared; changed */
  storePage(rows: Float32Array, page: Uint8Array, layout: PageLayout, side: "k" | "v", head: number): void {
    assert(this.#codec.storePage, `${this.#codec.nameOf(this.side)} is stored row by row`);
    this.#codec.storePage(this.side, rows, page, layout, side, head);
  }

  /** The stored vector, still in the space it was prepared into; with a sketch, the unbiased reconstruction. */
  read(page: Uint8Array, layout: PageLayout, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    this.#rows.read(page, layout, side, head, row, out);
  }
}
