/** @file Collects the moments of what attention of a layer works on, from which its calibration is designed. */
import { addOuterProducts } from "./outer-sum.ts";

/** Tokens at the beginning of a sequence that are left out, because attention sinks differ from all other keys. */
const SKIPPED_TOKENS = 4;

/** Vectors that are brought together before their products are added up: few enough to stay in the processor's cache. */
const BLOCK_ROWS = 64;

export interface MomentShape {
  readonly numHeads: number;
  readonly numKvHeads: number;
  /** Of queries and keys. */
  readonly headDim: number;
  readonly valueDim: number;
}

/** Vectors of consecutive tokens of a sequence, exact and as attention has them, behind RoPE. */
export interface LayerRows {
  /** [tokens][numHeads·headDim], in any common scale */
  readonly queries: Float32Array;
  /** [tokens][numKvHeads·headDim] */
  readonly keys: Float32Array;
  /** [tokens][numKvHeads·valueDim] */
  readonly values: Float32Array;
}

/** Sums over the tokens of one KV head; of matrices [headDim][headDim], that of values [valueDim][valueDim], the lower triangle. */
export interface HeadMoments {
  count: number;
  readonly keySum: Float64Array;
  readonly keys: Float64Array;
  readonly values: Float64Array;
  /** Of the queries of all heads of the group. */
  readonly queries: Float64Array;
}

export class LayerMoments {
  readonly shape: MomentShape;
  readonly heads: readonly HeadMoments[];
  readonly #rows: Float64Array;

  constructor(shape: MomentShape) {
    this.shape = shape;
    const { headDim: d, valueDim } = shape;
    const square = (width: number) => new Float64Array(width * width);
    this.heads = Array.from({ length: shape.numKvHeads }, () => ({
      count: 0,
      keySum: new Float64Array(d),
      keys: square(d),
      values: square(valueDim),
      queries: square(d),
    }));
    this.#rows = new Float64Array(BLOCK_ROWS * Math.max(d, valueDim));
  }

  /**
   * first: position of the first row · turns: `turnsOf` these rows, to take the moments of queries and keys as they were before
   * RoPE; null to take them as they are
   */
  add({ queries, keys, values }: LayerRows, first: number, turns: Float64Array | null): void {
    const { numHeads, numKvHeads, headDim: d, valueDim } = this.shape;
    const tokens = keys.length / (numKvHeads * d);
    const skipped = Math.max(0, SKIPPED_TOKENS - first);
    if (tokens <= skipped) return;
    const group = numHeads / numKvHeads;
    const each = (
      sum: Float64Array,
      x: Float32Array,
      at: { heads: number; head: number; d: number },
      by = turns,
    ): void => this.#addHead(sum, x, { ...at, skipped, tokens }, by);
    for (const [h, own] of this.heads.entries()) {
      own.count += tokens - skipped;
      each(own.keys, keys, { heads: numKvHeads, head: h, d });
      each(own.values, values, { heads: numKvHeads, head: h, d: valueDim }, null);
      for (let g = 0; g < group; g++) each(own.queries, queries, { heads: numHeads, head: h * group + g, d });
      this.#addKeys(own.keySum, keys, h, skipped, turns);
    }
  }

  #addHead(
    sum: Float64Array,
    x: Float32Array,
    { heads, head, d, skipped, tokens }: { heads: number; head: number; d: number; skipped: number; tokens: number },
    turns: Float64Array | null,
  ): void {
    for (let start = skipped; start < tokens; start += BLOCK_ROWS) {
      const end = Math.min(tokens, start + BLOCK_ROWS);
      for (let token = start; token < end; token++) {
        copyRow(this.#rows, (token - start) * d, x, (token * heads + head) * d, d, turns, token);
      }
      addOuterProducts(sum, this.#rows, end - start, d);
    }
  }

  #addKeys(sum: Float64Array, keys: Float32Array, head: number, skipped: number, turns: Float64Array | null): void {
    const { numKvHeads, headDim: d } = this.shape;
    const tokens = keys.length / (numKvHeads * d);
    for (let token = skipped; token < tokens; token++) {
      copyRow(this.#rows, 0, keys, (token * numKvHeads + head) * d, d, turns, token);
      for (let i = 0; i < d; i++) sum[i] = sum[i]! + this.#rows[i]!;
    }
  }
}

/** Copies a vector of d coordinates, turned back by the angles of row `token` of `turns`. */
function copyRow(
  out: Float64Array,
  to: number,
  x: Float32Array,
  from: number,
  d: number,
  turns: Float64Array | null,
  token: number,
): void {
  if (!turns) {
    for (let i = 0; i < d; i++) out[to + i] = x[from + i]!;
    return;
  }
  const half = d / 2;
  for (let j = 0, at = token * d; j < half; j++, at += 2) {
    const [a, b] = [x[from + j]!, x[from + j + half]!];
    const [cosine, sine] = [turns[at]!, turns[at + 1]!];
    out[to + j] = a * cosine + b * sine;
    out[to + j + half] = b * cosine - a * sine;
  }
}
