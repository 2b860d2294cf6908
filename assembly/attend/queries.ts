/**
 * @file Prepares the queries of a block of rows for attention: copies them into the scratch memory, rounds them to int16 for keys in codes, and
 * records which keys each row attends to. How: block.ts.
 */
import { horizontalMax, horizontalSum } from "../simd/vector";
import { isHalved } from "./centroids";
import { isCodes, isQuads } from "./codes";
import { QUERY_GAIN } from "./floats";
import {
  ROTARY_DIM, DIM, GROUP, HAS_RESIDUAL, K_SIDE, LARGEST, MAX_DIM, MAX_SKETCH, NUM_HEADS, PADDED, QUERY, ROW_BYTES, ROW_END, ROW_LOW, ROW_MAX,
  ROW_QBIAS, ROW_QSCALE, ROW_RECENT, ROW_SINKS, ROW_SSCALE, ROW_SUM, SINKS, ROW_FROM, ROW_TO, CHOSEN, CHOSEN_LISTS, CHOSEN_WORDS, HEAD_WEIGHTS,
  ROW_CHOSEN, ROW_TARGET, ROW_WEIGHT, SCORES, SCORE_STRIDE, SKETCH_MATRIX, SKETCH_ROWS, CHUNKED, SLIDING, SPAN_RESIDUAL_START, SPAN_ROW, SPAN_START,
  S_ACC, TOKENS_PER_ROW, S_QUERY, S_QUERY16, S_ROWS, S_SKETCH16, S_TILE, TYPE, TYPE_Q4_0, TYPE_Q8_0, WINDOW,
} from "./params";

/** Where coordinate i of a query has to lie so that it is multiplied by its own code, which unpacking has moved (codes.ts). */
function placeOf(i: usize, bits: i32): usize {
  if (bits == 8) return i;
  if (!isQuads(bits)) return (i & ~31) | ((i & 1) << 4) | ((i & 31) >> 1);
  return (i & ~63) | ((i & 3) << 4) | ((i & 63) >> 2);
}

/**
 * Makes an int16 copy of a query in the order of unpacked codes, with zeros beyond d. The value of one step goes into the row's
 * state at `scaleAt`. With ROW_QSCALE the state also gets ROW_QBIAS, half the sum of the copy, or 0 unless `isHalved(bits)`.
 * source: f32 [d] · target: i16 [d rounded up to 64] · bits: width of the codes · largest: the largest |integer| of a centroid
 */
function quantizeQuery(source: usize, target: usize, d: usize, bits: i32, largest: f32, state: usize, scaleAt: usize): void {
  let top = f32x4.splat(0), sum = f32x4.splat(0);
  for (let i: usize = 0; i < d * 4; i += 16) {
    const a = f32x4.abs(v128.load(source + i));
    top = f32x4.max(top, a);
    sum = f32x4.add(sum, a);
  }
  const most = horizontalMax(top);
  memory.fill(target, 0, ((d + 63) & ~63) * 2);
  let total: i32 = 0;
  let scale: f32 = 0;
  if (most > 1e-30) {
    // The second bound keeps |Σ q·c| below 2³¹ for any codes, even if every coordinate of the query is rounded up.
    scale = min<f32>(<f32>32767 / most, (<f32>2147480000 / largest - <f32>d) / horizontalSum(sum));
    for (let i: usize = 0; i < d; i++) {
      const value = <i32>nearest<f32>(load<f32>(source + i * 4) * scale);
      store<i16>(target + placeOf(i, bits) * 2, <i16>value);
      total += value;
    }
    scale = <f32>1 / scale;
  }
  store<f32>(state + scaleAt, scale);
  if (scaleAt == ROW_QSCALE) store<i32>(state, isHalved(bits) ? total >> 1 : 0, ROW_QBIAS);
}

/** Multiplies a query by the sketch's matrix. matrix: f32 [rows][d] · source: f32 [d] · target: f32 [rows] */
function projectQuery(matrix: usize, rows: usize, source: usize, d: usize, target: usize): void {
  for (let i: usize = 0; i < rows; i++) {
    let sum = f32x4.splat(0);
    for (let j: usize = 0; j < d; j += 4) {
      sum = f32x4.add(sum, f32x4.mul(v128.load(matrix + (i * d + j) * 4), v128.load(source + j * 4)));
    }
    store<f32>(target + i * 4, horizontalSum(sum));
  }
}

/**
 * Loads the query rows of one KV head into the scratch memory, and resets their states and accumulators. The rows are `positions`
 * positions from `first` on, each with `count` query heads of the group from `from` on, in the order [position][query head].
 * positions · count ≤ MAX_ROWS
 */
export function loadRows(p: usize, scratch: usize, span: usize, head: usize, first: i32, positions: i32, from: usize, count: usize): void {
  const padded = <usize>load<u32>(p, PADDED);
  const group = <usize>load<u32>(p, GROUP), heads = <usize>load<u32>(p, NUM_HEADS);
  const side = p + K_SIDE;
  const d = <usize>load<u32>(side, DIM), width = d + <usize>load<u32>(p, ROTARY_DIM);
  const type = load<i32>(side, TYPE);
  // The width of the integers that the int16 query is multiplied by; 0 for floats, which use the f32 query.
  const bits: i32 = isCodes(type) ? type : type == TYPE_Q8_0 ? 8 : type == TYPE_Q4_0 ? 4 : 0;
  const matrix = <usize>load<u32>(side, SKETCH_MATRIX);
  const largest = load<f32>(side, LARGEST);
  const sinks = load<i32>(p, SINKS), window = load<i32>(p, WINDOW), sliding = load<i32>(p, SLIDING);
  const chunked = load<i32>(p, CHUNKED) != 0, tokensPerRow = load<i32>(p, TOKENS_PER_ROW);
  const hasResidual = load<i32>(p, HAS_RESIDUAL);
  const residualStart = load<i32>(span, SPAN_RESIDUAL_START);
  const chosen = <usize>load<u32>(p, CHOSEN), words = <usize>load<u32>(p, CHOSEN_WORDS), lists = <usize>load<u32>(p, CHOSEN_LISTS);
  const factors = <usize>load<u32>(p, HEAD_WEIGHTS);
  const targets = <usize>load<u32>(p, SCORES), stride = <usize>load<u32>(p, SCORE_STRIDE);
  let row: usize = 0;
  for (let n: i32 = 0; n < positions; n++) {
    const position = first + n;
    const index = <usize>(load<i32>(span, SPAN_ROW) + position - load<i32>(span, SPAN_START));
    const low = sliding == 0 ? 0 : chunked ? position - position % sliding : max<i32>(0, position - sliding + 1);
    const end = (position + 1) / tokensPerRow;
    const sinkEnd = hasResidual ? min<i32>(sinks, end) : 0;
    const recent = hasResidual ? min<i32>(end, max<i32>(sinkEnd, max<i32>(end - window, residualStart))) : end;
    for (let g = from; g < from + count; g++) {
      const state = scratch + S_ROWS + row * ROW_BYTES;
      const query = scratch + S_QUERY + row * MAX_DIM * 4;
      memory.copy(query, <usize>load<u32>(p, QUERY) + (index * heads + head * group + g) * width * 4, width * 4);
      memory.fill(scratch + S_ACC + row * MAX_DIM * 4, 0, padded * 4);
      if (bits) quantizeQuery(query, scratch + S_QUERY16 + row * MAX_DIM * 2, d, bits, largest, state, ROW_QSCALE);
      if (matrix) {
        const projections = <usize>load<u32>(side, SKETCH_ROWS);
        // S_TILE is free until the first tile is unpacked.
        projectQuery(matrix, projections, query, d, scratch + S_TILE);
        quantizeQuery(scratch + S_TILE, scratch + S_SKETCH16 + row * MAX_SKETCH * 2, projections, 1, 1, state, ROW_SSCALE);
      }
      const gain = f32x4.splat(QUERY_GAIN);
      for (let i: usize = 0; i < width * 4; i += 16) v128.store(query + i, f32x4.mul(v128.load(query + i), gain));
      store<f32>(state, -1e30, ROW_MAX);
      store<f32>(state, 0, ROW_SUM);
      store<i32>(state, low, ROW_LOW);
      store<i32>(state, sinkEnd, ROW_SINKS);
      store<i32>(state, recent, ROW_RECENT);
      store<i32>(state, sinkEnd, ROW_FROM);
      store<i32>(state, recent, ROW_TO);
      store<i32>(state, end, ROW_END);
      store<u32>(state, chosen ? <u32>(chosen + (index * lists + (lists > 1 ? head : 0)) * words * 4) : 0, ROW_CHOSEN);
      store<u32>(state, targets ? <u32>(targets + (factors ? index : index * heads + g) * stride * 4) : 0, ROW_TARGET);
      store<f32>(state, factors ? load<f32>(factors + (index * heads + g) * 4) : 0, ROW_WEIGHT);
      row++;
    }
  }
}

/** Rounds the loaded queries anew for keys in codes of another width. side: of the keys */
export function quantizeFor(side: usize, scratch: usize, rows: usize): void {
  const bits = load<i32>(side, TYPE), d = <usize>load<u32>(side, DIM), largest = load<f32>(side, LARGEST);
  for (let row: usize = 0; row < rows; row++) {
    const state = scratch + S_ROWS + row * ROW_BYTES;
    quantizeQuery(scratch + S_QUERY + row * MAX_DIM * 4, scratch + S_QUERY16 + row * MAX_DIM * 2, d, bits, largest, state, ROW_QSCALE);
    store<f32>(state, load<f32>(state, ROW_QSCALE) * (<f32>1 / QUERY_GAIN), ROW_QSCALE);
  }
}
