/** @file A layer's KV format with its calibration, and everything that is derived from the two. */
import { TurboQuantError } from "../errors.ts";
import type { LayerCalibration } from "./calibration.ts";
import type { LayerKvFormat } from "./kv-format.ts";
import {
  feedbackValues,
  type LayerTransforms,
  makeTransforms,
  NO_TRANSFORMS,
  transformValues,
} from "./kv-transform.ts";

/** What a backend keeps for one layer. */
export interface LayerCopies {
  /** Frees it. */
  dispose(): void;
}

export interface PreparedShape {
  readonly numKvHeads: number;
  /** Of keys. */
  readonly headDim: number;
  /** Of values; absent: that of keys. */
  readonly valueDim?: number | undefined;
}

/**
 * Bytes of the f32 numbers that a calibrated layer of this format has: mean and balance of keys, dense transforms, factors for
 * error feedback. An upper bound, since a calibration may have only the mean of a side.
 */
export function preparedBytes(format: LayerKvFormat, shape: PreparedShape): number {
  const { numKvHeads, headDim, valueDim = headDim } = shape;
  const sides = transformValues(format.k, headDim) + transformValues(format.v, valueDim);
  return 4 * numKvHeads * (2 * headDim + sides);
}

/** Bytes of the factors for error feedback among them. */
export function feedbackBytes(
  format: LayerKvFormat,
  { numKvHeads, headDim, valueDim = headDim }: PreparedShape,
): number {
  return 4 * numKvHeads * (feedbackValues(format.k, headDim) + feedbackValues(format.v, valueDim));
}

/**
 * Bytes that a calibrated layer of this format takes in the memory of the process, beside what the backend keeps: the calibration
 * as it was read, f32, and the maps that are made of it.
 */
export function hostBytes(format: LayerKvFormat, shape: PreparedShape): number {
  const { numKvHeads, headDim, valueDim = headDim } = shape;
  const calibration = 2 * headDim + (headDim + 1) * headDim + (valueDim + 1) * valueDim;
  return 4 * numKvHeads * (calibration + transformValues(format.k, headDim) + transformValues(format.v, valueDim));
}

/** A decoder makes one for each layer. Whoever makes it disposes of it, which also frees what backends keep for it. */
export class PreparedLayer {
  readonly format: LayerKvFormat;
  readonly calibration: LayerCalibration | null;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly #copies = new Map<object, LayerCopies>();
  #transforms: LayerTransforms | null = null;
  #source: PreparedLayer | null = null;
  #isDisposed = false;

  constructor(
    format: LayerKvFormat,
    { numKvHeads, headDim, valueDim = headDim }: PreparedShape,
    calibration: LayerCalibration | null = null,
  ) {
    this.format = format;
    this.calibration = calibration;
    this.numKvHeads = numKvHeads;
    this.headDim = headDim;
    this.valueDim = valueDim;
  }

  /** The most bytes that a backend keeps for the calibration. */
  get numBytes(): number {
    return this.calibration ? preparedBytes(this.format, this) : 0;
  }

  /** The maps of the calibration, computed on first use. */
  get transforms(): LayerTransforms {
    if (!this.calibration) return NO_TRANSFORMS;
    if (this.#source) return this.#source.transforms;
    this.#transforms ??= makeTransforms(this.calibration, this.format, this);
    return this.#transforms;
  }

  /** For a layer that reads the keys and values of this one: the same maps, with copies of its own on backends. */
  beside(): PreparedLayer {
    const made = new PreparedLayer(this.format, this, this.calibration);
    made.#source = this;
    return made;
  }

  /**
   * What the backend `owner` keeps for this layer; `make` is called on first use.
   * @throws TurboQuantError invalid_argument — the layer was disposed of
   */
  copies<T extends LayerCopies>(owner: object, make: (layer: this) => T): T {
    let copies = this.#copies.get(owner) as T | undefined;
    if (!copies) {
      if (this.#isDisposed) {
        throw new TurboQuantError(
          "invalid_argument",
          "this KV format was disposed of; make a new view of the model with withKv",
        );
      }
      copies = make(this);
      this.#copies.set(owner, copies);
    }
    return copies;
  }

  /** Frees what backends keep for this layer. Idempotent. */
  dispose(): void {
    this.#isDisposed = true;
    for (const copies of this.#copies.values()) copies.dispose();
    this.#copies.clear();
    this.#transforms = null;
  }
}
