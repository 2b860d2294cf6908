/**
 * @file Stores one head's vector in a page and reads it back: the executable form of docs/formats/kv-page.md.
 *
 * How it works. `prepare` maps a vector to the space it is stored in: it replaces values that cannot be stored, subtracts the
 * calibrated mean, and rotates, or applies the calibration's dense map instead. `write` and `read` pass the bytes of a row to
 * the side's codec (codecs/). Attention never maps keys back: `prepareQuery` maps the query to the keys' space, where inner
 * products are the same, and `restore` maps the weighted sum of values back once.
 *
 * Everything is f32 with one rounding for each operation, in the documented order, so that kernels can produce the same bytes.
 */
import { assert } from "../errors.ts";
import { dot4 } from "../math/dot.ts";
import { codecOf } from "./codecs/registry.ts";
import type { SideCodec, StoredRows } from "./codecs/side-codec.ts";
import type { LayerKvFormat, SideFormat } from "./kv-format.ts";
import { isRotated, type PageLayout } from "./page-layout.ts";
import { dimOf } from "./page-regions.ts";
import type { PreparedLayer } from "./prepared-layer.ts";
import { createRotation, type Rotation } from "./rotation.ts";
import { sanitize } from "./sanitize.ts";

/** Constants of one side of one KV head, headDim being the side's. Matrices are [headDim][headDim], row-major. */
export interface HeadCalibration {
  /** [headDim], subtracted; null for values. */
  readonly mean: Float32Array | null;
  /** [headDim], a factor used when there is no `forward`; null for values. */
  readonly balance: Float32Array | null;
  /** Replaces balance and rotation. */
  readonly forward: Float32Array | null;
  /** Applied to queries (for keys) or to outputs (for values) when `forward` is used. */
  readonly inverse: Float32Array | null;
  /** [headDim + 1][headDim], see `SideTransform.feedback`. */
  readonly feedback: Float32Array | null;
}

/** Returns the constants of a head for one side. */
export function headCalibrations(prepared: PreparedLayer, side: "k" | "v"): (head: number) => HeadCalibration | null {
  const { calibration } = prepared;
  const headDim = dimOf(prepared, side);
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

/** x = matrix·x; each row is a `dot4`. */
function multiplyInPlace(matrix: Float32Array, x: Float32Array): void {
  const d = x.length;
  const input = x.slice();
  for (let i = 0; i < d; i++) x[i] = dot4(matrix, i * d, input, 0, d);
}

/** What all codecs have in common; the bytes of a row are the codec's own (codecs/). */
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

  /** Whether the tokens of a page are stored together by `storePage`; then `write` does nothing. */
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
   * Maps a query into the space of this side's rows, in place. Its inner product with a vector from `read` is then ⟨q, k⟩, up
   * to ⟨q, mean⟩, which is the same for all keys and cancels in the softmax. q: [headDim]
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

  /** Maps a weighted sum of stored vectors back to the original space, in place (no mean is added: values have none). x: [headDim] */
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

  /** Stores all rows of one head of a full page. rows: [pageTokens][headDim], prepared; overwritten */
  storePage(rows: Float32Array, page: Uint8Array, layout: PageLayout, side: "k" | "v", head: number): void {
    assert(this.#codec.storePage, `${this.#codec.nameOf(this.side)} is stored row by row`);
    this.#codec.storePage(this.side, rows, page, layout, side, head);
  }

  /** Reads a stored vector in the space it was prepared into; with a sketch, its unbiased reconstruction. */
  read(page: Uint8Array, layout: PageLayout, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    this.#rows.read(page, layout, side, head, row, out);
  }
}
