/**
 * @file Norm, RoPE, calibration, rotation, quantization and storage of one token's K and V head, and its queries.
 *
 * The bytes written are those of src/quant/row-codec.ts for the same f32 input; no relaxed operation is used here.
 */
import { toHalf, toHalves } from "../simd/vector";
import { S_END, TYPE_F16, TYPE_F32, TYPE_KIVI, TYPE_Q8_0 } from "../attend/params";
import {
  BALANCE, COS, EPS, EXACT_K, EXACT_TOKENS, EXACT_V, FEEDBACK, FORWARD, HEAD_DIM, K_NORM, K_SIDE, MEAN, NUM_HEADS, NUM_KV_HEADS, PAGE_TOKENS, PLANE_0, PLANE_1,
  PLANE_2, QKV, QUANTIZER, QUERY, QUERY_MATRIX, Q_NORM, ROTATED, ROTATION, ROTATION_DATA, ROTATION_ROUNDS, ROTATION_SIZE, SCALES, SIN, SKETCH_MATRIX,
  SKETCH_NORMS, SKETCH_ROWS, SKETCH_SIGNS, SLOTS, SOFTMAX_SCALE, TYPE, V_SIDE,
} from "./params";
import { quantize, S_CODES, S_INPUT, S_NORM, S_SIGNED } from "./quantize";
import { dot4, hadamard, multiplyMatrix } from "./rotate";

/** Scratch: the vector at hand, then room of a matrix product, then the quantizer's. */
const VECTOR: usize = 0;
const PRODUCT: usize = 1024;
const QUANTIZE: usize = 2048;

function normHead(x: usize, weight: usize, eps: f32, d: usize): void {
  const inverse = <f32>1 / sqrt<f32>(dot4(x, x, d) / <f32>d + eps);
  const f = f32x4.splat(inverse);
  for (let i: usize = 0; i < d * 4; i += 16) v128.store(x + i, f32x4.mul(f32x4.mul(v128.load(x + i), f), v128.load(weight + i)));
}

/** Rotates the pairs (i, i + d/2). */
function rope(x: usize, cos: usize, sin: usize, d: usize): void {
  const half = d * 2;
  for (let i: usize = 0; i < half; i += 16) {
    const a = v128.load(x + i), b = v128.load(x + i + half), c = v128.load(cos + i), s = v128.load(sin + i);
    v128.store(x + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
    v128.store(x + i + half, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
  }
}

/** NaN becomes 0, everything else is clamped to ±65504. */
function sanitize(x: usize, d: usize): void {
  const most = f32x4.splat(65504), least = f32x4.splat(-65504);
  for (let i: usize = 0; i < d * 4; i += 16) {
    const v = v128.load(x + i);
    v128.store(x + i, f32x4.max(f32x4.min(v128.and(v, f32x4.eq(v, v)), most), least));
  }
}

function rotate(p: usize, x: usize, d: usize, scratch: usize): void {
  if (load<u32>(p, ROTATION) == 1) hadamard(x, d, load<u32>(p, ROTATION_SIZE), load<u32>(p, ROTATION_ROUNDS), load<u32>(p, ROTATION_DATA));
  else multiplyMatrix(load<u32>(p, ROTATION_DATA), x, d, scratch + PRODUCT);
}

/** What f16 holds: a rotation may have gathered in one coordinate what was in range. */
// @ts-ignore: decorator
@inline function inRange(v: v128): v128 {
  return f32x4.max(f32x4.min(v, f32x4.splat(65504)), f32x4.splat(-65504));
}

function storeHalves(x: usize, to: usize, d: usize): void {
  for (let i: usize = 0; i < d; i += 8) {
    v128.store(to + i * 2, i16x8.narrow_i32x4_u(toHalves(inRange(v128.load(x + i * 4))), toHalves(inRange(v128.load(x + i * 4, 16)))));
  }
}

/** One plane: `width` bits of each code from bit `shift` on, eight codes at a time. */
function storePlane(codes: usize, d: usize, width: u32, shift: u32, to: usize): void {
  for (let i: usize = 0; i < d; i += 8) {
    let x = load<u64>(codes + i) >> <u64>shift;
    if (width == 8) store<u64>(to, x);
    else if (width == 4) {
      x &= 0x0f0f0f0f0f0f0f0f;
      x = (x | (x >> 4)) & 0x00ff00ff00ff00ff;
      x = (x | (x >> 8)) & 0x0000ffff0000ffff;
      store<u32>(to, <u32>(x | (x >> 16)));
    } else if (width == 2) {
      x &= 0x0303030303030303;
      x = (x | (x >> 6)) & 0x000f000f000f000f;
      x = (x | (x >> 12)) & 0x000000ff000000ff;
      store<u16>(to, <u16>(x | (x >> 24)));
    } else {
      // The product gathers bit 0 of byte i in bit 56 + i.
      store<u8>(to, <u8>(((x & 0x0101010101010101) * 0x0102040810204080) >> 56));
    }
    to += width;
  }
}

function storeCodes(codes: usize, d: usize, bits: u32, side: usize, page: usize, index: usize): void {
  let shift = bits;
  let offset = PLANE_0;
  for (let width: u32 = 8; width > 0; width >>= 1) {
    if (!(bits & width)) continue;
    shift -= width;
    storePlane(codes, d, width, shift, page + load<u32>(side + offset) + index * ((d * width) >> 3));
    offset += 4;
  }
}

/** q8_0 and q4_0r: blocks of 32 with an f16 scale each. */
function storeBlocks(x: usize, d: usize, isEight: bool, side: usize, page: usize, index: usize, codes: usize): void {
  const blocks = (d + 31) >> 5;
  let scales = page + load<u32>(side, SCALES) + index * blocks * 2;
  for (let start: usize = 0; start < d; start += 32) {
    const end = min<usize>(start + 32, d);
    let extreme: f32 = 0;
    for (let i = start; i < end; i++) {
      const v = load<f32>(x + i * 4);
      if (abs<f32>(v) > abs<f32>(extreme)) extreme = v;
    }
    const most = abs<f32>(extreme);
    const scale: f32 = isEight ? most / 127 : max<f32>(-65504, min<f32>(65504, extreme / -8));
    const inverse: f32 = extreme == 0 ? 0 : isEight ? <f32>127 / most : <f32>-8 / extreme;
    store<u16>(scales, <u16>toHalf(scale));
    scales += 2;
    for (let i = start; i < end; i++) {
      const v = load<f32>(x + i * 4) * inverse;
      store<u8>(codes + i, isEight ? <u8>(<i32>nearest<f32>(v) + 128) : <u8>min<i32>(15, <i32>floor<f32>(v + 8.5)));
    }
  }
  storeCodes(codes, d, isEight ? 8 : 4, side, page, index);
}

/** Address of a head's matrix of a side, or 0 where there is none. */
// @ts-ignore: decorator
@inline function matrixOf(side: usize, which: usize, head: usize, d: usize): usize {
  const all = <usize>load<u32>(side + which);
  return all ? all + head * d * d * 4 : 0;
}

// @ts-ignore: decorator
@inline function feedbackOf(side: usize, head: usize, d: usize): usize {
  const all = <usize>load<u32>(side + FEEDBACK);
  return all ? all + head * (d + 1) * d * 4 : 0;
}

/** Stores a prepared vector as (head, row) of a page; index = head · pageTokens + row. KIVI waits until the page is full. */
function storeVector(x: usize, d: usize, side: usize, page: usize, head: usize, index: usize, scratch: usize): void {
  const type = load<i32>(side, TYPE);
  if (type >= TYPE_KIVI) return;
  const s = scratch + QUANTIZE;
  if (type == TYPE_F32) memory.copy(page + load<u32>(side, PLANE_0) + index * d * 4, x, d * 4);
  else if (type == TYPE_F16) storeHalves(x, page + load<u32>(side, PLANE_0) + index * d * 2, d);
  else if (type > 8) storeBlocks(x, d, type == TYPE_Q8_0, side, page, index, s + S_CODES);
  else {
    const scale = quantize(x, d, type, side, load<u32>(side, QUANTIZER), feedbackOf(side, head, d), s);
    storeCodes(s + S_CODES, d, type, side, page, index);
    store<u16>(page + load<u32>(side, SCALES) + index * 2, <u16>toHalf(scale));
    if (load<u32>(side, SKETCH_MATRIX)) storeSketch(d, side, page, index, s);
  }
}

/** Signs of the projected residual and its norm (TurboQuant_prod). */
function storeSketch(d: usize, side: usize, page: usize, index: usize, s: usize): void {
  const r = s + S_SIGNED;
  for (let i: usize = 0; i < d * 4; i += 16) v128.store(r + i, f32x4.sub(v128.load(s + S_INPUT + i), v128.load(r + i)));
  const matrix = <usize>load<u32>(side, SKETCH_MATRIX);
  const rowBytes = <usize>load<u32>(side, SKETCH_ROWS) >> 3;
  const signs = page + load<u32>(side, SKETCH_SIGNS) + index * rowBytes;
  let row = matrix;
  for (let byte: usize = 0; byte < rowBytes; byte++) {
    let bits: u32 = 0;
    for (let bit: u32 = 0; bit < 8; bit++) {
      if (dot4(row, r, d) >= 0) bits |= 1 << bit;
      row += d * 4;
    }
    store<u8>(signs + byte, <u8>bits);
  }
  const length = sqrt<f32>(dot4(r, r, d)) / <f32>Math.sqrt(<f64>d);
  const norm = load<f32>(s, S_NORM);
  store<u16>(page + load<u32>(side, SKETCH_NORMS) + index * 2, <u16>toHalf(min<f32>(65504, norm * length)));
}

/** Task = row · numKvHeads + KV head: that head's K and V, and the queries of its group. */
export function appendRows(task: i32, p: usize, scratch: usize): void {
  const d = <usize>load<u32>(p, HEAD_DIM), heads = <usize>load<u32>(p, NUM_HEADS), kvHeads = <usize>load<u32>(p, NUM_KV_HEADS);
  const row = <usize>task / kvHeads, head = <usize>task % kvHeads;
  const qkv = <usize>load<u32>(p, QKV) + row * (heads + 2 * kvHeads) * d * 4;
  const cos = <usize>load<u32>(p, COS) + row * d * 2, sin = <usize>load<u32>(p, SIN) + row * d * 2;
  const slot = <usize>load<u32>(p, SLOTS) + row * 16;
  const page = <usize>load<u32>(slot), at = <usize>load<u32>(slot, 4), exact = <usize>load<u32>(slot, 8), exactAt = <usize>load<u32>(slot, 12);
  const tokens = <usize>load<u32>(p, PAGE_TOKENS), exactTokens = <usize>load<u32>(p, EXACT_TOKENS);
  const eps = load<f32>(p, EPS);
  const balance = <usize>load<u32>(p, BALANCE) + head * d * 4;
  const isCalibrated = load<u32>(p, BALANCE) != 0;
  const x = scratch + VECTOR;

  memory.copy(x, qkv + (heads + head) * d * 4, d * 4);
  if (load<u32>(p, K_NORM)) normHead(x, load<u32>(p, K_NORM), eps, d);
  rope(x, cos, sin, d);
  sanitize(x, d);
  const keyMatrix = matrixOf(p + K_SIDE, FORWARD, head, d), queryMatrix = matrixOf(p + K_SIDE, QUERY_MATRIX, head, d);
  if (isCalibrated) {
    const mean = <usize>load<u32>(p, MEAN) + head * d * 4;
    for (let i: usize = 0; i < d * 4; i += 16) v128.store(x + i, f32x4.sub(v128.load(x + i), v128.load(mean + i)));
    if (!keyMatrix) for (let i: usize = 0; i < d * 4; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), v128.load(balance + i)));
  }
  if (keyMatrix) multiplyMatrix(keyMatrix, x, d, scratch + PRODUCT);
  else if (load<u32>(p + K_SIDE, ROTATED)) rotate(p, x, d, scratch);
  storeVector(x, d, p + K_SIDE, page, head, head * tokens + at, scratch);
  if (exact) storeHalves(x, exact + load<u32>(p, EXACT_K) + (head * exactTokens + exactAt) * d * 2, d);

  memory.copy(x, qkv + (heads + kvHeads + head) * d * 4, d * 4);
  sanitize(x, d);
  const valueMatrix = matrixOf(p + V_SIDE, FORWARD, head, d);
  if (valueMatrix) multiplyMatrix(valueMatrix, x, d, scratch + PRODUCT);
  else if (load<u32>(p + V_SIDE, ROTATED)) rotate(p, x, d, scratch);
  storeVector(x, d, p + V_SIDE, page, head, head * tokens + at, scratch);
  if (exact) storeHalves(x, exact + load<u32>(p, EXACT_V) + (head * exactTokens + exactAt) * d * 2, d);

  const group = heads / kvHeads;
  const scale = f32x4.splat(load<f32>(p, SOFTMAX_SCALE));
  for (let g: usize = 0; g < group; g++) {
    const h = head * group + g;
    const q = <usize>load<u32>(p, QUERY) + (row * heads + h) * d * 4;
    memory.copy(q, qkv + h * d * 4, d * 4);
    if (load<u32>(p, Q_NORM)) normHead(q, load<u32>(p, Q_NORM), eps, d);
    rope(q, cos, sin, d);
    if (queryMatrix) multiplyMatrix(queryMatrix, q, d, scratch + PRODUCT);
    else if (isCalibrated) for (let i: usize = 0; i < d * 4; i += 16) v128.store(q + i, f32x4.div(v128.load(q + i), v128.load(balance + i)));
    if (!queryMatrix && load<u32>(p + K_SIDE, ROTATED)) rotate(p, q, d, scratch);
    for (let i: usize = 0; i < d * 4; i += 16) v128.store(q + i, f32x4.mul(v128.load(q + i), scale));
  }
}
