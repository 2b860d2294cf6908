/**
 * @file One head's vector to its bytes in a page and back: the executable form of docs/formats/kv-page.md.
 *
 * f32 with one rounding an operation, in the documented order, so that kernels can match it byte for byte.
 */
import { dot4 } from "../math/dot.ts";
import { fromFloat16Bits, toFloat16Bits } from "../math/float16.ts";
import { dequantizeBlocks } from "./baselines/blocks.ts";
import { Q4_ZERO, quantizeQ4 } from "./baselines/q4-0-rotated.ts";
import { Q8_ZERO, quantizeQ8 } from "./baselines/q8-0.ts";
import { packPlane, planeShifts, unpackPlane } from "./bit-pack.ts";
import { getCodebook } from "./codebook.ts";
import { dequantizeKivi } from "./kivi-page.ts";
import type { LayerKvFormat, SideFormat } from "./kv-format.ts";
import {
  BLOCK,
  codeBits,
  isRotated,
  type PageLayout,
  type Plane,
  type Region,
  type SideLayout,
} from "./page-layout.ts";
import type { PreparedLayer } from "./prepared-layer.ts";
import { projectionMatrix, sketchFactor } from "./qjl.ts";
import { createRotation, type Rotation } from "./rotation.ts";
import { clampToFloat16, largestOf, MAX_FLOAT16, sanitize } from "./sanitize.ts";
import { kindOf } from "./side-kind.ts";
import { TRELLIS_VALUES, trellisPlaces } from "./trellis.ts";
import { VectorQuantizer } from "./vector-quantizer.ts";

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

const rowAt = (region: Region, head: number, row: number): number =>
  region.offset + head * region.headStride + row * region.rowBytes;

export class RowCodec {
  readonly side: SideFormat;
  readonly headDim: number;
  readonly #rotation: Rotation | null;
  readonly #quantizer: VectorQuantizer | null;
  readonly #projection: Float32Array | null;
  readonly #numProjections: number;
  readonly #codes: Uint8Array;
  /** Signs of the sketch, one a byte. */
  readonly #signs: Uint8Array;
  /** f16 bits of one row of q8_0 or q4_0r. */
  readonly #blockScales: Uint16Array;
  readonly #residual: Float32Array;

  constructor(side: SideFormat, format: LayerKvFormat, headDim: number) {
    this.side = side;
    this.headDim = headDim;
    this.#rotation = isRotated(side, format) ? createRotation(format.rotation, headDim, format.seed) : null;
    this.#quantizer =
      kindOf(side.type) === "scalar"
        ? new VectorQuantizer(
            headDim,
            codeBits(side.type),
            side.scale,
            side.search,
            side.codebookIterations,
            side.trellis,
          )
        : null;
    this.#numProjections = side.projections ?? headDim;
    this.#projection = side.qjl ? projectionMatrix("gaussian", headDim, format.seed, this.#numProjections) : null;
    this.#codes = new Uint8Array(headDim);
    this.#signs = new Uint8Array(this.#numProjections);
    this.#blockScales = new Uint16Array(Math.ceil(headDim / BLOCK));
    this.#residual = new Float32Array(headDim);
  }

  /** Steps 1 to 3, in place: sanitize, calibrate, rotate. x: [headDim] */
  prepare(x: Float32Array, calibration: HeadCalibration | null = null): void {
    sanitize(x, largestOf(this.side.type));
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

  /**
   * Stores a prepared vector as row `row` of head `head`; KIVI stores whole pages instead (kivi-page.ts). feedback: of the
   * head's calibration
   */
  write(
    x: Float32Array,
    page: Uint8Array,
    layout: PageLayout,
    side: "k" | "v",
    head: number,
    row: number,
    feedback: Float32Array | null = null,
  ): void {
    if (kindOf(this.side.type) === "channel") return;
    const target = layout[side];
    switch (this.side.type) {
      case "f32":
      case "f16":
        this.#writeFloats(x, page, rowAt(target.planes[0]!, head, row));
        break;
      case "q8_0":
      case "q4_0r":
        this.#writeBlocks(x, page, target, head, row);
        break;
      default:
        this.#writeTurboQuant(x, page, target, head, row, feedback);
    }
  }

  /** The stored vector, still in the space it was prepared into; with a sketch, the unbiased reconstruction. */
  read(page: Uint8Array, layout: PageLayout, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const source = layout[side];
    const d = this.headDim;
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    if (kindOf(this.side.type) === "float") {
      const at = rowAt(source.planes[0]!, head, row);
      for (let i = 0; i < d; i++) {
        out[i] =
          this.side.type === "f32"
            ? view.getFloat32(at + 4 * i, true)
            : fromFloat16Bits(view.getUint16(at + 2 * i, true));
      }
      return;
    }
    const codes = this.#codes.fill(0);
    for (const [p, { width, shift }] of planeShifts(codeBits(this.side.type)).entries()) {
      unpackPlane(page, rowAt(source.planes[p]!, head, row), d, width, shift, codes);
    }
    const scaleAt = rowAt(source.scales!, head, row);
    if (kindOf(this.side.type) === "channel") {
      dequantizeKivi(codes, view, scaleAt, side, out);
      return;
    }
    if (!this.#quantizer) {
      const scales = this.#blockScales;
      for (let b = 0; b < scales.length; b++) scales[b] = view.getUint16(scaleAt + 2 * b, true);
      dequantizeBlocks(codes, scales, this.side.type === "q8_0" ? Q8_ZERO : Q4_ZERO, out);
      return;
    }
    const scale = fromFloat16Bits(view.getUint16(scaleAt, true));
    if (this.side.trellis) {
      trellisPlaces(codes);
      const unit = scale / Math.sqrt(d);
      for (let i = 0; i < d; i++) out[i] = unit * TRELLIS_VALUES[codes[i]!]!;
      return;
    }
    const { centroids } = getCodebook(d, this.#quantizer.bits, this.side.codebookIterations);
    for (let i = 0; i < d; i++) out[i] = scale * centroids[codes[i]!]!;
    if (source.sketch) this.#addSketch(view, page, source, head, row, out);
  }

  #writeFloats(x: Float32Array, page: Uint8Array, at: number): void {
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    for (let i = 0; i < x.length; i++) {
      if (this.side.type === "f32") view.setFloat32(at + 4 * i, x[i]!, true);
      // A rotation may have gathered what was in range in one coordinate.
      else view.setUint16(at + 2 * i, toFloat16Bits(clampToFloat16(x[i]!)), true);
    }
  }

  #writeCodes(codes: Uint8Array, page: Uint8Array, planes: readonly Plane[], head: number, row: number): void {
    for (const [p, { width, shift }] of planeShifts(codeBits(this.side.type)).entries()) {
      packPlane(codes, this.headDim, width, shift, page, rowAt(planes[p]!, head, row));
    }
  }

  #writeBlocks(x: Float32Array, page: Uint8Array, target: SideLayout, head: number, row: number): void {
    const scales = this.#blockScales;
    (this.side.type === "q8_0" ? quantizeQ8 : quantizeQ4)(x, this.#codes, scales);
    this.#writeCodes(this.#codes, page, target.planes, head, row);
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    const at = rowAt(target.scales!, head, row);
    for (let b = 0; b < scales.length; b++) view.setUint16(at + 2 * b, scales[b]!, true);
  }

  #writeTurboQuant(
    x: Float32Array,
    page: Uint8Array,
    target: SideLayout,
    head: number,
    row: number,
    feedback: Float32Array | null,
  ): void {
    const quantizer = this.#quantizer!;
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
    const { scale, norm } = quantizer.quantize(x, 0, feedback);
    this.#writeCodes(quantizer.codes, page, target.planes, head, row);
    view.setUint16(rowAt(target.scales!, head, row), toFloat16Bits(scale), true);
    if (!target.sketch) return;
    const d = this.headDim;
    const r = this.#residual;
    for (let i = 0; i < d; i++) r[i] = quantizer.scaledInput[i]! - quantizer.centroids[i]!;
    const m = this.#numProjections;
    for (let i = 0; i < m; i++) this.#signs[i] = dot4(this.#projection!, i * d, r, 0, d) >= 0 ? 1 : 0;
    packPlane(this.#signs, m, 1, 0, page, rowAt(target.sketch.signs, head, row));
    const length = Math.fround(Math.fround(Math.sqrt(dot4(r, 0, r, 0, d))) / Math.fround(Math.sqrt(d)));
    view.setUint16(rowAt(target.sketch.norms, head, row), toFloat16Bits(Math.min(MAX_FLOAT16, norm * length)), true);
  }

  /** out += √(π/2)/m · ‖r‖ · Sᵀ z */
  #addSketch(view: DataView, page: Uint8Array, source: SideLayout, head: number, row: number, out: Float32Array): void {
    const d = this.headDim;
    const { signs, norms } = source.sketch!;
    const m = this.#numProjections;
    const z = this.#signs.fill(0);
    unpackPlane(page, rowAt(signs, head, row), m, 1, 0, z);
    const factor = sketchFactor("gaussian", d, m) * fromFloat16Bits(view.getUint16(rowAt(norms, head, row), true));
    for (let i = 0; i < m; i++) {
      const signed = z[i] ? factor : -factor;
      for (let j = 0; j < d; j++) out[j] = out[j]! + signed * this.#projection![i * d + j]!;
    }
  }
}
