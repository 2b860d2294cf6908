/**
 * @file Heads of any width, where pages of the cache and the kernels that read them have widths that are multiples of eight.
 *
 * Each half of a head gets zeros behind it before keys and values are stored, and what attention returns loses them again. q · k gains
 * nothing by zeros, and rope finds the pairs (i, i + half) where it looks for them, as both halves keep their beginnings. Weights are
 * multiplied with as they are stored, of whatever format; nothing but weights of a head's norm is brought into the places of its coordinates.
 */
import type { Buf, Ops, RowParts } from "../../backends/ops.ts";
import { assert } from "../../errors.ts";
import { storedDim } from "../../quant/head-dim.ts";
import type { BlockStep, WeightSpec } from "./block.ts";
import { type HeadOrder, headOrder, type RowOrder } from "./row-order.ts";

interface HeadWidths {
  readonly numHeads: number;
  /** Heads of k, and as many of v, beside those of q; 0 where there are none. */
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
}

/** Parts of a row and what they become. */
interface Move {
  readonly from: RowParts;
  readonly to: RowParts;
  readonly count: number;
}

interface StoredHeads {
  /** Widths with their zeros. */
  readonly headDim: number;
  readonly valueDim: number;
  /** Values of a row of q, k and v with them. */
  readonly width: number;
  /** Of the epsilon of norms of heads: their sum of squares is divided by the width with zeros, as kernels do not know the other. */
  readonly epsScale: number;
  /** The weights of a norm of heads, or ones in their place; heads: whose coordinates are in an order of their own; null: of v */
  norm(spec: WeightSpec, heads: HeadOrder | null): WeightSpec;
  /** q, k and v as attention takes them. */
  widen(at: BlockStep, projected: Buf, out: Buf): void;
  /** What attention returns without zeros. */
  narrow(at: BlockStep, attended: Buf, out: Buf): void;
}

/** Null where heads are stored as they are. */
export function storedHeads({ numHeads, numKvHeads, headDim, valueDim }: HeadWidths): StoredHeads | null {
  const stored = { headDim: storedDim(headDim), valueDim: storedDim(valueDim) };
  if (stored.headDim === headDim && stored.valueDim === valueDim) return null;
  const [keyHeads, valueHeads] = [numHeads + numKvHeads, numKvHeads];
  const strides = [
    keyHeads * headDim + valueHeads * valueDim,
    keyHeads * stored.headDim + valueHeads * stored.valueDim,
  ];
  /** Heads from a column on, before and with zeros. */
  const move = (dims: readonly number[], count: number, firsts: readonly number[], of: readonly number[]): Move => {
    // A head of an odd width has no halves, and no rope.
    const parts = dims[0]! % 2 === 0 ? 2 : 1;
    const [from, to] = dims.map((dim, i) => ({ first: firsts[i]!, width: dim / parts, stride: of[i]! }));
    return { from: from!, to: to!, count: count * parts };
  };
  const [keyDims, valueDims] = [
    [headDim, stored.headDim],
    [valueDim, stored.valueDim],
  ];
  const moves =
    headDim === valueDim
      ? [move(keyDims, keyHeads + valueHeads, [0, 0], strides)]
      : [
          move(keyDims, keyHeads, [0, 0], strides),
          ...(valueHeads > 0
            ? [
                move(
                  valueDims,
                  valueHeads,
                  keyDims.map((dim) => keyHeads * dim),
                  strides,
                ),
              ]
            : []),
        ];
  const back = move(
    valueDims,
    numHeads,
    [0, 0],
    valueDims.map((dim) => numHeads * dim),
  );
  const epsScale = headDim / stored.headDim;
  return {
    ...stored,
    width: strides[1]!,
    epsScale,
    norm: (spec, heads) => {
      const dims = heads ? keyDims : valueDims;
      const scale = (spec.scale ?? 1) * Math.sqrt(dims[0]! / dims[1]!);
      if (spec.ones) return { ...spec, ones: dims[1]!, scale };
      const order = widened(heads && headOrder(heads, 1), dims[0]!, dims[1]!);
      return { ...spec, scale, tensors: spec.tensors.map((tensor) => ({ ...tensor, order })) };
    },
    widen: ({ ops, rows }, projected, out) => {
      for (const { from, to, count } of moves) ops.resizeParts(projected, from, count, rows, out, to);
    },
    narrow: ({ ops, rows }, attended, out) => ops.resizeParts(attended, back.to, back.count, rows, out, back.from),
  };
}

interface StoredLatent {
  /** Widths with their zeros. */
  readonly kvRank: number;
  readonly ropeDim: number;
  /** Latents, each with its rotary part behind it. rows: as many as there are of both together */
  widen(ops: Ops, rows: number, x: Buf, out: Buf): void;
  /** Latents that attention returns, without zeros. */
  narrow(ops: Ops, rows: number, x: Buf, out: Buf): void;
}

/** The same of latent attention, whose latents and rotary parts have zeros of their own; null where both are stored as they are. */
export function storedLatent(kvRank: number, ropeDim: number): StoredLatent | null {
  // An indexer may have nothing but the rotary part.
  const stored = { kvRank: storedDim(Math.max(1, kvRank)), ropeDim: storedDim(ropeDim) };
  if (stored.kvRank === kvRank && stored.ropeDim === ropeDim) return null;
  const strides = [kvRank + ropeDim, stored.kvRank + stored.ropeDim] as const;
  const latents = [
    { first: 0, width: kvRank, stride: strides[0] },
    { first: 0, width: stored.kvRank, stride: strides[1] },
  ] as const;
  const halves = [
    { first: kvRank, width: ropeDim / 2, stride: strides[0] },
    { first: stored.kvRank, width: stored.ropeDim / 2, stride: strides[1] },
  ] as const;
  return {
    ...stored,
    widen: (ops, rows, x, out) => {
      ops.resizeParts(x, latents[0], 1, rows, out, latents[1]);
      ops.resizeParts(x, halves[0], 2, rows, out, halves[1]);
    },
    narrow: (ops, rows, x, out) =>
      ops.resizeParts(x, { ...latents[1], stride: stored.kvRank }, 1, rows, out, { ...latents[0], stride: kvRank }),
  };
}

/** Where a coordinate of a head comes to lie, each half at the beginning of its half. */
function placeIn(dim: number, stored: number, coordinate: number): number {
  const half = dim % 2 === 0 ? dim / 2 : dim;
  return coordinate < half ? coordinate : coordinate - half + stored / 2;
}

/** A matrix of rows with parts of `dim` values for each head, as one whose parts have zeros like stored heads. */
export function widenedColumns(weight: Float32Array, numHeads: number, dim: number): Float32Array {
  const stored = storedDim(dim);
  if (stored === dim) return weight;
  const numParts = weight.length / dim;
  assert(numParts % numHeads === 0, `${weight.length} values for ${numHeads} heads of ${dim}`);
  const wide = new Float32Array(numParts * stored);
  for (let part = 0; part < numParts; part++)
    for (let i = 0; i < dim; i++) wide[part * stored + placeIn(dim, stored, i)] = weight[part * dim + i]!;
  return wide;
}

/** The places of a head's coordinates. */
function widened(order: RowOrder | null, dim: number, stored: number): RowOrder {
  return { unit: dim, numRows: stored, place: (row) => placeIn(dim, stored, order?.place(row) ?? row) };
}
