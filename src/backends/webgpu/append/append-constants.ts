/** @file Constants of the append kernel for one layer, in one buffer: norms, calibration, rotation, codebooks. */
import type { LayerKvFormat, SideFormat } from "../../../quant/kv-format.ts";
import { isRotated } from "../../../quant/page-layout.ts";
import { dimOf } from "../../../quant/page-regions.ts";
import type { PreparedLayer } from "../../../quant/prepared-layer.ts";
import { recodedCentroids } from "../../../quant/recoder.ts";
import { createRotation, powerOfTwoBelow } from "../../../quant/rotation.ts";
import { windowSide } from "../../../quant/window-side.ts";
import { wgslCodecs } from "../codec/registry.ts";

export interface AppendConstants {
  /** All constants. The norms of heads are ones here; the device copies its weights over them. */
  readonly values: Float32Array<ArrayBuffer>;
  /** Where each array starts in `values`, by its name in the kernel, and the shape of the rotation. */
  readonly at: Readonly<
    Record<
      | "QUERY_NORM_AT"
      | "KEY_NORM_AT"
      | "VALUE_NORM_AT"
      | "MEAN_AT"
      | "BALANCE_AT"
      | "ROTATION_AT"
      | "ROTATION_SIZE"
      | "ROTATION_ROUNDS"
      | "K_CENTROIDS_AT"
      | "K_BOOK_SIZE"
      | "V_CENTROIDS_AT"
      | "V_BOOK_SIZE"
      | "BOOK_SIZE"
      | "KEY_MATRIX_AT"
      | "QUERY_MATRIX_AT"
      | "VALUE_MATRIX_AT"
      | "K_FEEDBACK_AT"
      | "V_FEEDBACK_AT"
      | "WINDOW_BOOK_AT"
      | "WINDOW_CENTROIDS_AT",
      number
    >
  >;
}

/**
 * The forward rotation of vectors of this length as kernels read it. Hadamard: the signs of each round, then the factor 1/√size · QR: the
 * matrix, row by row
 */
export function rotationValues(
  format: LayerKvFormat,
  headDim: number,
): {
  values: number[] | Float32Array;
  size: number;
  rounds: number;
} {
  const rotation = createRotation(format.rotation, headDim, format.seed);
  if (rotation.matrix) return { values: rotation.matrix, size: 1, rounds: 0 };
  const size = powerOfTwoBelow(headDim);
  return {
    values: [...rotation.signs.flatMap((s) => [...s]), 1 / Math.sqrt(size)],
    size,
    rounds: rotation.signs.length,
  };
}

/** Transposes square matrices that are stored one after the other, so that neighbouring invocations read neighbouring numbers. */
export function byColumns(matrices: Float32Array | null, headDim: number): Float32Array<ArrayBuffer> {
  const square = headDim * headDim;
  const out = new Float32Array(matrices?.length ?? 0);
  matrices?.forEach((value, at) => {
    const inner = at % square;
    out[at - inner + (inner % headDim) * headDim + Math.floor(inner / headDim)] = value;
  });
  return out;
}

/** What rows of a page are coded anew with: centroids of the finer codes, codebooks of the coarser, and the feedback, which is that of all tiers. */
export interface CoarsenConstants {
  readonly values: Float32Array<ArrayBuffer>;
  /** Of each coarser tier. */
  readonly at: readonly Readonly<
    Record<
      | "K_FINER_AT"
      | "V_FINER_AT"
      | "K_CENTROIDS_AT"
      | "K_BOOK_SIZE"
      | "V_CENTROIDS_AT"
      | "V_BOOK_SIZE"
      | "BOOK_SIZE"
      | "K_FEEDBACK_AT"
      | "V_FEEDBACK_AT",
      number
    >
  >[];
}

/** Sides of a format or of a tier. */
type Sides = Readonly<Record<"k" | "v", SideFormat>>;

/** Arrays one behind the other. */
class Arrays {
  readonly #parts: ArrayLike<number>[] = [];
  #end = 0;

  /** returns: where the values begin */
  put(values: ArrayLike<number>): number {
    this.#parts.push(values);
    this.#end += values.length;
    return this.#end - values.length;
  }

  /** Where the centroids begin, and how many numbers there are including the boundaries behind them. A trellis has no boundaries. */
  codebook(side: SideFormat, headDim: number): readonly [number, number] {
    const { book } = wgslCodecs.of(side);
    if (!book) return [0, 0];
    const start = this.put(book.centroids(side, headDim));
    const boundaries = book.boundaries(side, headDim);
    return [start, this.put(boundaries) + boundaries.length - start];
  }

  joined(): Float32Array<ArrayBuffer> {
    const values = new Float32Array(this.#end);
    let offset = 0;
    for (const part of this.#parts) {
      values.set(part, offset);
      offset += part.length;
    }
    return values;
  }
}

/** sides: of vectors of one length · tiers: what rows are at first, and what they become one after the other */
export function makeCoarsenConstants(
  layer: PreparedLayer,
  sides: readonly ("k" | "v")[],
  tiers: readonly Sides[],
): CoarsenConstants {
  const headDim = dimOf(layer, sides[0]!);
  const arrays = new Arrays();
  const feedback = (side: "k" | "v"): number =>
    arrays.put((sides.includes(side) && layer.transforms[side].feedback) || []);
  const ofAll = { K_FEEDBACK_AT: feedback("k"), V_FEEDBACK_AT: feedback("v") };
  const at = tiers.slice(1).map((to, i) => {
    const of = (side: "k" | "v") => {
      if (!sides.includes(side)) return { finer: 0, at: 0, size: 0 };
      const [at, size] = arrays.codebook(to[side], headDim);
      return { finer: arrays.put(recodedCentroids(tiers[i]![side], headDim)), at, size };
    };
    const [k, v] = [of("k"), of("v")];
    return {
      ...ofAll,
      ...{ K_FINER_AT: k.finer, K_CENTROIDS_AT: k.at, K_BOOK_SIZE: k.size },
      ...{ V_FINER_AT: v.finer, V_CENTROIDS_AT: v.at, V_BOOK_SIZE: v.size },
      BOOK_SIZE: Math.max(1, k.size, v.size),
    };
  });
  return { values: arrays.joined(), at };
}

/** sides: those that the kernel stores, of vectors of one length */
export function makeAppendConstants(layer: PreparedLayer, sides: readonly ("k" | "v")[]): AppendConstants {
  const { format, calibration } = layer;
  const headDim = dimOf(layer, sides[0]!);
  const [hasKeys, hasValues] = (["k", "v"] as const).map((side) => sides.includes(side));
  const arrays = new Arrays();
  const put = (values: ArrayLike<number>): number => arrays.put(values);
  const codebook = (side: SideFormat): readonly [number, number] => arrays.codebook(side, headDim);
  const ones = new Float32Array(headDim).fill(1);
  const rotation = sides.some((side) => isRotated(format[side], format))
    ? rotationValues(format, headDim)
    : { values: [], size: 1, rounds: 0 };
  const { k, v } = layer.transforms;
  const [kCentroids, kBook] = hasKeys ? codebook(format.k) : [0, 0];
  const [vCentroids, vBook] = hasValues ? codebook(format.v) : [0, 0];
  const [windowBook, windowBookSize] = codebook(windowSide(format));
  const at = {
    WINDOW_BOOK_AT: windowBook,
    WINDOW_CENTROIDS_AT: put(windowBookSize > 0 ? recodedCentroids(windowSide({ windowBits: 8 }), headDim) : []),
    K_CENTROIDS_AT: kCentroids,
    K_BOOK_SIZE: kBook,
    V_CENTROIDS_AT: vCentroids,
    V_BOOK_SIZE: vBook,
    BOOK_SIZE: Math.max(1, kBook, vBook),
    QUERY_NORM_AT: put(ones),
    KEY_NORM_AT: put(ones),
    VALUE_NORM_AT: put(ones),
    MEAN_AT: put((hasKeys && calibration?.keyMean) || []),
    BALANCE_AT: put((hasKeys && calibration?.balance) || []),
    KEY_MATRIX_AT: put(byColumns(hasKeys ? k.forward : null, headDim)),
    QUERY_MATRIX_AT: put(byColumns(hasKeys ? k.inverse : null, headDim)),
    VALUE_MATRIX_AT: put(byColumns(hasValues ? v.forward : null, headDim)),
    K_FEEDBACK_AT: put((hasKeys && k.feedback) || []),
    V_FEEDBACK_AT: put((hasValues && v.feedback) || []),
    ROTATION_AT: put(rotation.values),
    ROTATION_SIZE: rotation.size,
    ROTATION_ROUNDS: rotation.rounds,
  };
  return { values: arrays.joined(), at };
}
