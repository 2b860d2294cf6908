/**
 * @file Applies norm, RoPE, calibration and rotation to the heads of K and V, quantizes them and stores them in their pages. Also
 * prepares the queries of each KV head.
 *
 * The bytes written are those of src/quant/row-codec.ts for the same f32 input, so no relaxed operation is used here. Up to four
 * rows are processed together: a matrix is then read once for all of them, and error feedback, which has to proceed coordinate
 * by coordinate, rounds four rows at once. The operations on a row and their order do not depend on the rows beside it.
 *
 * Behind a window that stands alone in 8 bits, rows of a step are stored in the window, and the rows that it has passed get their codes,
 * which are made of the 8 bits: rows of the same step (a long prompt) at once, rows of earlier steps by tasks of their own. Rows of pages that
 * grow coarser go the same way, from the codes of the finer page.
 */
import { APPEND_ROWS, MAX_DIM, MAX_FLOAT16, ROTATION_HADAMARD, SCRATCH_BYTES, TRELLIS, TYPE_F16, TYPE_F32, TYPE_KIVI, TYPE_Q8_0 } from "../attend/params";
import { loadHalf, toHalf } from "../simd/vector";
import { expectFeedback, feedBack } from "./feedback";
import { feedBackRows } from "./feedback-rows";
import { dot4, multiplyMatrix } from "./multiply";
import { loadCodes, storeBlocks, storeCodes, storeHalves } from "./pack";
import {
  BALANCE, CENTROIDS, COS, EPS, IS_ALONE, IS_SHARED, K_WINDOW, NUM_PASSED, V_WINDOW, NORMS_TURNED, QUERY_GROWTH, V_NORM, RESIDUAL_K, RESIDUAL_TOKENS, RESIDUAL_V, DIM, FEEDBACK, FORWARD, K_NORM, K_SIDE, MEAN, NUM_HEADS, NUM_KV_HEADS, NUM_ROWS, PAGE_TOKENS,
  PLANE_0, QKV, QUERY, QUERY_MATRIX, Q_NORM, ROTATED, ROTATION, ROTATION_DATA, ROTATION_ROUNDS, ROTATION_SIZE, SCALES, SIN, SKETCH_MATRIX,
  SLOT_BYTES, SLOTS, SOFTMAX_SCALE, TYPE, V_SIDE,
} from "../generated/append-params";
import { CODES_BYTES, choose, QUANTIZE_BYTES, S_CODES, S_SCALE } from "./quantize";
import { hadamard } from "./rotate";
import { searchFactor } from "./search";
import { storeSketch } from "./sketch";
import { chooseChained } from "./trellis";

/** Number of rows of a step that a task takes. */
const BLOCK: usize = APPEND_ROWS;
/** Number of queries that are multiplied by a matrix together. */
const QUERIES: usize = 16;

// The scratch memory of a thread: vectors, their products with a matrix, and what the quantizers of the two sides need.
const VECTORS: usize = 0; // f32 [QUERIES][MAX_DIM]
const PRODUCTS: usize = QUERIES * MAX_DIM * 4; // f32 [QUERIES][MAX_DIM]
const VALUES: usize = PRODUCTS / 2; // offset of V's rows in both, while K's rows are in their first halves
export const QUANTIZE_K: usize = 2 * PRODUCTS;
const QUANTIZE_V: usize = QUANTIZE_K + QUANTIZE_BYTES;

/** Applies RMS norm to one head. x, weight: f32 [d] */
function normHead(x: usize, weight: usize, eps: f32, d: usize): void {
  const inverse = <f32>1 / sqrt<f32>(dot4(x, x, d) / <f32>d + eps);
  const f = f32x4.splat(inverse);
  for (let i: usize = 0; i < d * 4; i += 16) v128.store(x + i, f32x4.mul(f32x4.mul(v128.load(x + i), f), v128.load(weight + i)));
}

/** Applies RoPE to the pairs (i, i + d/2). x: f32 [d] · cos, sin: f32 [d / 2] of the row's position */
export function rope(x: usize, cos: usize, sin: usize, d: usize): void {
  const half = d * 2;
  for (let i: usize = 0; i < half; i += 16) {
    const a = v128.load(x + i), b = v128.load(x + i + half), c = v128.load(cos + i), s = v128.load(sin + i);
    v128.store(x + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
    v128.store(x + i + half, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
  }
}

/** A head of Q or K, normed before it is turned, or behind that. norm: f32 [d], or 0 */
function normAndTurn(p: usize, x: usize, norm: usize, row: usize, d: usize): void {
  const isLate = load<u32>(p, NORMS_TURNED) != 0;
  if (norm && !isLate) normHead(x, norm, load<f32>(p, EPS), d);
  rope(x, load<u32>(p, COS) + row * d * 2, load<u32>(p, SIN) + row * d * 2, d);
  if (norm && isLate) normHead(x, norm, load<f32>(p, EPS), d);
}

/**
 * Replaces NaN by 0 and clamps everything else to what the side can store: any finite value in f32 rows, the range of f16
 * otherwise. x: f32 [d]
 */
export function sanitizeTo(x: usize, d: usize, side: usize): void {
  const limit: f32 = load<i32>(side, TYPE) == TYPE_F32 ? f32.MAX_VALUE : MAX_FLOAT16;
  const most = f32x4.splat(limit), least = f32x4.splat(-limit);
  for (let i: usize = 0; i < d * 4; i += 16) {
    const v = v128.load(x + i);
    v128.store(x + i, f32x4.max(f32x4.min(v128.and(v, f32x4.eq(v, v)), most), least));
  }
}

/**
 * Multiplies n vectors by a matrix; without one, rotates them if the side is rotated.
 * matrix: f32 [d][d], or 0 · x, out: f32 [n][d] · returns: where the results are, x or out
 */
export function turn(side: usize, matrix: usize, x: usize, n: usize, d: usize, out: usize): usize {
  if (!matrix) {
    if (!load<u32>(side, ROTATED)) return x;
    if (load<u32>(side, ROTATION) == ROTATION_HADAMARD) {
      for (let r: usize = 0; r < n; r++) {
        hadamard(x + r * d * 4, d, load<u32>(side, ROTATION_SIZE), load<u32>(side, ROTATION_ROUNDS), load<u32>(side, ROTATION_DATA));
      }
      return x;
    }
    matrix = load<u32>(side, ROTATION_DATA);
  }
  multiplyMatrix(matrix, x, n, d * 4, d, out);
  return out;
}

/** Address of a KV head's matrix of a side, or 0 if it has none. which: FORWARD or QUERY_MATRIX */
// @ts-ignore: decorator
@inline function matrixOf(side: usize, which: usize, head: usize, d: usize): usize {
  const all = <usize>load<u32>(side + which);
  return all ? all + head * d * d * 4 : 0;
}

/** Whether the codes are chosen by `feedBackSides`. A trellis does its own error feedback (trellis.ts). */
// @ts-ignore: decorator
@inline function hasFeedback(side: usize): bool {
  return load<i32>(side, TYPE) <= 8 && load<u32>(side, FEEDBACK) != 0;
}

/** Chooses the codes and scales of n prepared rows for those sides that have error feedback. keySide, valueSide: of the codes, or of the window · keys, values: f32 [n][dim] */
function feedBackSides(keySide: usize, valueSide: usize, keys: usize, values: usize, n: usize, head: usize, scratch: usize): void {
  const d = <usize>load<u32>(keySide, DIM), e = <usize>load<u32>(valueSide, DIM);
  const k = scratch + QUANTIZE_K, v = scratch + QUANTIZE_V;
  const ofKeys = hasFeedback(keySide), ofValues = hasFeedback(valueSide);
  if (ofKeys) {
    for (let r: usize = 0; r < n; r++) searchFactor(keys + r * d * 4, d, keySide, k, r);
    expectFeedback(keySide, head, d, k);
  }
  if (ofValues) {
    for (let r: usize = 0; r < n; r++) searchFactor(values + r * e * 4, e, valueSide, v, r);
    expectFeedback(valueSide, head, e, v);
  }
  if (ofKeys && ofValues && d == e) chooseFedBack(n, k, v, d);
  else {
    // Sides of different lengths do not alternate.
    if (ofKeys) chooseFedBack(n, k, k, d);
    if (ofValues) chooseFedBack(n, v, v, e);
  }
}

// @ts-ignore: decorator
@inline function chooseFedBack(n: usize, a: usize, b: usize, d: usize): void {
  if (n == 1) feedBack(a, b, d);
  else feedBackRows(n, a, b, d);
}

/** Reads a row of codes. codes: u8 [d] · scale: address of its f16 · centroids: f32 [2^bits] · x: f32 [d] */
function readCodes(codes: usize, scale: usize, centroids: usize, x: usize, d: usize): void {
  const s = loadHalf(scale);
  for (let i: usize = 0; i < d; i++) store<f32>(x + i * 4, s * load<f32>(centroids + ((<usize>load<u8>(codes + i)) << 2)));
}

/**
 * Stores n prepared rows of one side as sinks and window of 8 bits. Where the window stands alone, a row becomes what it is stored as.
 * window: the side's window · x: f32 [n][d] · s: scratch memory of the side's quantizer, which already holds the codes if there is error
 * feedback · others: see `storeRows`
 */
function storeEightBits(p: usize, window: usize, x: usize, n: usize, first: usize, head: usize, s: usize): void {
  const d = <usize>load<u32>(window, DIM), tokens = <usize>load<u32>(p, RESIDUAL_TOKENS), isAlone = load<u32>(p, IS_ALONE) != 0;
  const isChosen = hasFeedback(window);
  for (let r: usize = 0; r < n; r++) {
    const y = x + r * d * 4;
    const slot = <usize>load<u32>(p, SLOTS) + (first + r) * SLOT_BYTES;
    const page = <usize>load<u32>(slot, 8), index = head * tokens + <usize>load<u32>(slot, 12);
    if (!page) continue;
    if (!isChosen) {
      searchFactor(y, d, window, s, 0);
      choose(d, 8, window, s);
    }
    const at = isChosen ? r : 0, codes = s + S_CODES + at * CODES_BYTES;
    storeCodes(codes, d, 8, window, page, index);
    const scale = page + load<u32>(window, SCALES) + index * 2;
    store<u16>(scale, <u16>toHalf(load<f32>(s + at * 4, S_SCALE)));
    if (isAlone) readCodes(codes, scale, load<u32>(window, CENTROIDS), y, d);
  }
}

/** Whether any of n rows has a page for sinks and window. first: row of the step */
function haveCopies(p: usize, n: usize, first: usize): bool {
  const slots = <usize>load<u32>(p, SLOTS) + first * SLOT_BYTES;
  for (let r: usize = 0; r < n; r++) if (load<u32>(slots + r * SLOT_BYTES, 8)) return true;
  return false;
}

/** Reads n rows of one side from the window, or from pages of a finer tier. window: as in `K_WINDOW` · x: f32 [n][d] · others: see `storeRows` */
function loadCoded(p: usize, window: usize, x: usize, n: usize, first: usize, head: usize, s: usize): void {
  const d = <usize>load<u32>(window, DIM), bits = load<u32>(window, TYPE), tokens = <usize>load<u32>(p, RESIDUAL_TOKENS);
  for (let r: usize = 0; r < n; r++) {
    const slot = <usize>load<u32>(p, SLOTS) + (first + r) * SLOT_BYTES;
    const page = <usize>load<u32>(slot, 8), index = head * tokens + <usize>load<u32>(slot, 12);
    const scale = page + load<u32>(window, SCALES) + index * 2;
    let codes = page + load<u32>(window, PLANE_0) + index * d;
    if (bits != 8) {
      codes = s + S_CODES;
      loadCodes(codes, d, bits, window, page, index);
    }
    readCodes(codes, scale, load<u32>(window, CENTROIDS), x + r * d * 4, d);
  }
}

/**
 * Stores n prepared rows of one side in their pages, and their 16-bit copies if they have any. KIVI is not stored here: its pages
 * are quantized when they are full (src/backends/full-pages.ts).
 * x: f32 [n][d] · first: row of the step that x begins with · copyOffset: of the side in a page of 16-bit copies
 * s: scratch memory of the side's quantizer, which already holds the codes if there is error feedback
 */
export function storeRows(p: usize, side: usize, copyOffset: usize, x: usize, n: usize, first: usize, head: usize, s: usize): void {
  const d = <usize>load<u32>(side, DIM), tokens = <usize>load<u32>(p, PAGE_TOKENS), residualTokens = <usize>load<u32>(p, RESIDUAL_TOKENS);
  const type = load<i32>(side, TYPE), isChosen = hasFeedback(side);
  for (let r: usize = 0; r < n; r++) {
    const y = x + r * d * 4;
    const slot = <usize>load<u32>(p, SLOTS) + (first + r) * SLOT_BYTES;
    const page = <usize>load<u32>(slot), index = head * tokens + <usize>load<u32>(slot, 4);
    if (type <= TRELLIS) {
      if (!isChosen) {
        searchFactor(y, d, side, s, 0);
        if (type == TRELLIS) chooseChained(side, head, d, s);
        else choose(d, type, side, s);
      }
      const at = isChosen ? r : 0;
      storeCodes(s + S_CODES + at * CODES_BYTES, d, type == TRELLIS ? 2 : type, side, page, index);
      store<u16>(page + load<u32>(side, SCALES) + index * 2, <u16>toHalf(load<f32>(s + at * 4, S_SCALE)));
      if (load<u32>(side, SKETCH_MATRIX)) storeSketch(d, side, page, index, s);
    } else if (type == TYPE_F32) memory.copy(page + load<u32>(side, PLANE_0) + index * d * 4, y, d * 4);
    else if (type == TYPE_F16) storeHalves(y, page + load<u32>(side, PLANE_0) + index * d * 2, d);
    else if (type < TYPE_KIVI) storeBlocks(y, d, type == TYPE_Q8_0, side, page, index, s + S_CODES);

    const residual = <usize>load<u32>(slot, 8);
    if (residual && !load<u32>(p, K_WINDOW)) storeHalves(y, residual + copyOffset + (head * residualTokens + <usize>load<u32>(slot, 12)) * d * 2, d);
  }
}

/**
 * Prepares the queries of one KV head for n rows of the step from `first` on: applies norm and RoPE, maps them so that their
 * products with the stored keys are the scores, and multiplies them by the softmax scale.
 * matrix: f32 [d][d], or 0 · result: QUERY, f32 [row][query head][d]
 */
function storeQueries(p: usize, n: usize, first: usize, head: usize, matrix: usize, scratch: usize): void {
  const d = <usize>load<u32>(p + K_SIDE, DIM), heads = <usize>load<u32>(p, NUM_HEADS), kvHeads = <usize>load<u32>(p, NUM_KV_HEADS);
  const stored = load<u32>(p, IS_SHARED) ? 0 : kvHeads * (d + <usize>load<u32>(p + V_SIDE, DIM));
  const width = heads * d + stored;
  const group = heads / kvHeads, total = n * group;
  const balance = load<u32>(p, BALANCE) ? <usize>load<u32>(p, BALANCE) + head * d * 4 : 0;
  const softmaxScale = load<f32>(p, SOFTMAX_SCALE), growth = <usize>load<u32>(p, QUERY_GROWTH);
  for (let from: usize = 0; from < total; from += QUERIES) {
    const count = min<usize>(QUERIES, total - from);
    for (let i: usize = 0; i < count; i++) {
      const row = first + (from + i) / group, h = head * group + (from + i) % group;
      const x = scratch + VECTORS + i * d * 4;
      memory.copy(x, <usize>load<u32>(p, QKV) + (row * width + h * d) * 4, d * 4);
      normAndTurn(p, x, load<u32>(p, Q_NORM), row, d);
      if (balance && !matrix) for (let j: usize = 0; j < d * 4; j += 16) v128.store(x + j, f32x4.div(v128.load(x + j), v128.load(balance + j)));
    }
    const y = turn(p + K_SIDE, matrix, scratch + VECTORS, count, d, scratch + PRODUCTS);
    for (let i: usize = 0; i < count; i++) {
      const row = first + (from + i) / group, h = head * group + (from + i) % group;
      const q = <usize>load<u32>(p, QUERY) + (row * heads + h) * d * 4;
      const scale = f32x4.splat(growth ? softmaxScale * load<f32>(growth + row * 4) : softmaxScale);
      for (let j: usize = 0; j < d * 4; j += 16) v128.store(q + j, f32x4.mul(v128.load(y + i * d * 4 + j), scale));
    }
  }
}

/** Stores K and V of one KV head for n rows from `first` on. */
function storeKeysAndValues(p: usize, n: usize, first: usize, head: usize, scratch: usize): void {
  const d = <usize>load<u32>(p + K_SIDE, DIM), e = <usize>load<u32>(p + V_SIDE, DIM);
  const heads = <usize>load<u32>(p, NUM_HEADS), kvHeads = <usize>load<u32>(p, NUM_KV_HEADS);
  const qkv = <usize>load<u32>(p, QKV), firstValue = (heads + kvHeads) * d * 4, width = firstValue + kvHeads * e * 4;
  const balance = <usize>load<u32>(p, BALANCE) + head * d * 4, mean = <usize>load<u32>(p, MEAN) + head * d * 4;
  const isCalibrated = load<u32>(p, BALANCE) != 0;
  const keyMatrix = matrixOf(p + K_SIDE, FORWARD, head, d);

  for (let r: usize = 0; r < n; r++) {
    const row = first + r, x = scratch + VECTORS + r * d * 4;
    memory.copy(x, qkv + row * width + (heads + head) * d * 4, d * 4);
    normAndTurn(p, x, load<u32>(p, K_NORM), row, d);
    sanitizeTo(x, d, p + K_SIDE);
    if (!isCalibrated) continue;
    for (let i: usize = 0; i < d * 4; i += 16) v128.store(x + i, f32x4.sub(v128.load(x + i), v128.load(mean + i)));
    if (!keyMatrix) for (let i: usize = 0; i < d * 4; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), v128.load(balance + i)));
  }
  const keys = turn(p + K_SIDE, keyMatrix, scratch + VECTORS, n, d, scratch + PRODUCTS);

  for (let r: usize = 0; r < n; r++) {
    const x = scratch + VALUES + VECTORS + r * e * 4;
    memory.copy(x, qkv + (first + r) * width + firstValue + head * e * 4, e * 4);
    if (load<u32>(p, V_NORM)) normHead(x, load<u32>(p, V_NORM), load<f32>(p, EPS), e);
    sanitizeTo(x, e, p + V_SIDE);
  }
  const valueMatrix = matrixOf(p + V_SIDE, FORWARD, head, e);
  const values = turn(p + V_SIDE, valueMatrix, scratch + VALUES + VECTORS, n, e, scratch + VALUES + PRODUCTS);

  const keyWindow = <usize>load<u32>(p, K_WINDOW), valueWindow = <usize>load<u32>(p, V_WINDOW);
  if (keyWindow && haveCopies(p, n, first)) {
    feedBackSides(keyWindow, valueWindow, keys, values, n, head, scratch);
    storeEightBits(p, keyWindow, keys, n, first, head, scratch + QUANTIZE_K);
    storeEightBits(p, valueWindow, values, n, first, head, scratch + QUANTIZE_V);
  }
  storeCoded(p, keys, values, n, first, head, scratch);
}

/** Stores those of n prepared rows that have a page for their codes. keys, values: f32 [n][dim] */
function storeCoded(p: usize, keys: usize, values: usize, n: usize, first: usize, head: usize, scratch: usize): void {
  const d = <usize>load<u32>(p + K_SIDE, DIM), e = <usize>load<u32>(p + V_SIDE, DIM);
  const slots = <usize>load<u32>(p, SLOTS) + first * SLOT_BYTES;
  let from: usize = 0;
  while (from < n) {
    if (!load<u32>(slots + from * SLOT_BYTES)) {
      from++;
      continue;
    }
    let end = from + 1;
    while (end < n && load<u32>(slots + end * SLOT_BYTES)) end++;
    const k = keys + from * d * 4, v = values + from * e * 4;
    feedBackSides(p + K_SIDE, p + V_SIDE, k, v, end - from, head, scratch);
    storeRows(p, p + K_SIDE, load<u32>(p, RESIDUAL_K), k, end - from, first + from, head, scratch + QUANTIZE_K);
    storeRows(p, p + V_SIDE, load<u32>(p, RESIDUAL_V), v, end - from, first + from, head, scratch + QUANTIZE_V);
    from = end;
  }
}

/** Stores the codes of n rows of one KV head that the window has passed, or that a finer tier has lost. first: of their slots */
function storePassed(p: usize, n: usize, first: usize, head: usize, scratch: usize): void {
  loadCoded(p, load<u32>(p, K_WINDOW), scratch + VECTORS, n, first, head, scratch + QUANTIZE_K);
  loadCoded(p, load<u32>(p, V_WINDOW), scratch + VALUES + VECTORS, n, first, head, scratch + QUANTIZE_V);
  storeCoded(p, scratch + VECTORS, scratch + VALUES + VECTORS, n, first, head, scratch);
}

/**
 * Stores K and V of one KV head for a block of rows, and prepares the queries of its group. task: KV head · number of blocks +
 * block; a block has BLOCK rows, and those of the rows that the window has passed come last. The blocks of a head are consecutive
 * tasks, so that its matrices stay in the cache.
 * input: QKV, f32 [row]: queries, keys, values; where K and V are another layer's, queries alone, and nothing is stored
 */
export function appendRows(task: i32, p: usize, scratch: usize): void {
  if (QUANTIZE_V + QUANTIZE_BYTES > SCRATCH_BYTES) ERROR("append needs more scratch than SCRATCH_BYTES of src/backends/parameters/attention.ts");
  const rows = <usize>load<u32>(p, NUM_ROWS), passed = <usize>load<u32>(p, NUM_PASSED);
  const blocks = (rows + BLOCK - 1) / BLOCK, all = blocks + (passed + BLOCK - 1) / BLOCK;
  const head = <usize>task / all, block = <usize>task % all;
  if (block >= blocks) {
    const from = (block - blocks) * BLOCK;
    storePassed(p, min<usize>(BLOCK, passed - from), rows + from, head, scratch);
    return;
  }
  const first = block * BLOCK, n = min<usize>(BLOCK, rows - first);
  if (!load<u32>(p, IS_SHARED)) storeKeysAndValues(p, n, first, head, scratch);
  storeQueries(p, n, first, head, matrixOf(p + K_SIDE, QUERY_MATRIX, head, load<u32>(p + K_SIDE, DIM)), scratch);
}
