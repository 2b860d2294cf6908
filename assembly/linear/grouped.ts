/**
 * @file out = x · Wᵀ for q8 and q4 weights: integers in groups of 32 along a row with a scale each, and of q4 a minimum;
 * activations are int16.
 *
 * The type is a type parameter, as in types.ts: `i8` for q8 and `u8` for q4.
 * Weights lie in panels of four rows, so that one row of activations reads one stream: [ceil(n/4)][stride/32] records of
 * {f32 scale[4], int8 code[4][32]}, 144 bytes, or {f16 scale[4], f16 minimum[4], nibbles[4][16]}, 80 bytes. Byte b holds column
 * b in its low and column b + 16 in its high nibble.
 * A group's products are summed exactly in i32 (32 · 127 · 32767 < 2³¹), four lanes; lanes become f32 times the scale
 * and are summed over the groups in order, then (l0 + l2) + (l1 + l3). Σ (s · q + m) · x = s · Σ q · x + m · Σ x: the sums of
 * the activations of a group come from prepare.ts, and their products with minimums are summed beside, over the groups in order.
 * At last all is multiplied by the scale of the activations. One row and many give the same bits.
 * More than four rows unpack the codes of a block to int16 once, in scratch, if it has room for them.
 */
import { SCRATCH_BYTES } from "../generated/limits";
import { held, loadFourHalves, madd, transposeSumF32 } from "../simd/vector";
import { ADD, BIAS, BLOCK, N, OUT, ROWS, STRIDE, TOTAL, W, X, X_SCALE, X_SUMS } from "../generated/linear-params";
import { storeFour, storeOne } from "./store";
import { PIECE, pieceRecords, SHORT_PIECE, touch, touchEnd } from "./touch";

export type Q8 = i8;
export type Q4 = u8;

/** Bytes of the codes that a row has in a record. */
// @ts-ignore: decorator
@inline export function codeBytes<T>(): usize {
  return isSigned<T>() ? 32 : 16;
}

/** Bytes of a record: four scales, four rows of codes. */
// @ts-ignore: decorator
@inline export function groupRecord<T>(): usize {
  return 16 + 4 * codeBytes<T>();
}

/** Codes of part 0–3 of a row's group at p, as int16: eight neighbours of q8, every second one of q4, as `prepareQ4` has them. */
// @ts-ignore: decorator
@inline function codes<T>(p: usize, part: i32, mask: v128): v128 {
  if (isSigned<T>()) {
    if (part == 0) return v128.load_ext<i8>(p);
    if (part == 1) return v128.load_ext<i8>(p, 8);
    if (part == 2) return v128.load_ext<i8>(p, 16);
    return v128.load_ext<i8>(p, 24);
  }
  // The compiler loads the sixteen bytes once for all four parts. Shifts of halves instead of widened bytes: CPUs do several a cycle.
  const raw = v128.load(p);
  if (part == 0) return v128.and(raw, mask);
  if (part == 1) return v128.and(i16x8.shr_u(raw, 8), mask);
  if (part == 2) return v128.and(i16x8.shr_u(raw, 4), mask);
  return i16x8.shr_u(raw, 12);
}

/** One group: 32 codes at p against 32 int16 in four vectors. */
// @ts-ignore: decorator
@inline function dotGroup<T>(p: usize, x0: v128, x1: v128, x2: v128, x3: v128, mask: v128): v128 {
  const a = i32x4.add(i32x4.dot_i16x8_s(codes<T>(p, 0, mask), x0), i32x4.dot_i16x8_s(codes<T>(p, 1, mask), x1));
  const b = i32x4.add(i32x4.dot_i16x8_s(codes<T>(p, 2, mask), x2), i32x4.dot_i16x8_s(codes<T>(p, 3, mask), x3));
  return f32x4.convert_i32x4_s(i32x4.add(a, b));
}

/** One row of activations against one panel: the four outputs, without the scale of the activations. piece: as of `pieceRecords`; wEnd: as of `touchEnd` */
// @ts-ignore: decorator
@inline function rowTimesPanel<T>(x: usize, sums: usize, record: usize, stride: i32, piece: usize, wEnd: usize, sink: usize): v128 {
  const mask = held(i16x8.splat(15), sink);
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  let minimums = f32x4.splat(0);
  const end = x + (<usize>stride << 1);
  for (let p = x; p < end;) {
    const stop = min(end, p + (piece << 6));
    touch(record + piece * groupRecord<T>(), piece * groupRecord<T>(), wEnd, sink, isSigned<T>());
    for (; p < stop; p += 64) {
      const x0 = v128.load(p);
      const x1 = v128.load(p, 16);
      const x2 = v128.load(p, 32);
      const x3 = v128.load(p, 48);
      const scales = isSigned<T>() ? v128.load(record) : loadFourHalves(record);
      a = madd(dotGroup<T>(record + 16, x0, x1, x2, x3, mask), v128.shuffle<u32>(scales, scales, 0, 0, 0, 0), a);
      b = madd(dotGroup<T>(record + 16 + codeBytes<T>(), x0, x1, x2, x3, mask), v128.shuffle<u32>(scales, scales, 1, 1, 1, 1), b);
      c = madd(dotGroup<T>(record + 16 + 2 * codeBytes<T>(), x0, x1, x2, x3, mask), v128.shuffle<u32>(scales, scales, 2, 2, 2, 2), c);
      d = madd(dotGroup<T>(record + 16 + 3 * codeBytes<T>(), x0, x1, x2, x3, mask), v128.shuffle<u32>(scales, scales, 3, 3, 3, 3), d);
      if (!isSigned<T>()) {
        minimums = madd(loadFourHalves(record + 8), v128.load_splat<f32>(sums), minimums);
        sums += 16;
      }
      record += groupRecord<T>();
    }
  }
  const products = transposeSumF32(a, b, c, d);
  return isSigned<T>() ? products : f32x4.add(products, minimums);
}

/** int16 row at p against a group held in registers. */
// @ts-ignore: decorator
@inline function dotHeld(p: usize, w0: v128, w1: v128, w2: v128, w3: v128): v128 {
  const a = i32x4.add(i32x4.dot_i16x8_s(v128.load(p), w0), i32x4.dot_i16x8_s(v128.load(p, 16), w1));
  const b = i32x4.add(i32x4.dot_i16x8_s(v128.load(p, 32), w2), i32x4.dot_i16x8_s(v128.load(p, 48), w3));
  return f32x4.convert_i32x4_s(i32x4.add(a, b));
}

/** A block of weights unpacked in scratch: int16 [row][stride], and of q4 {f32 scale[4], f32 minimum[4]} a record. */
// @ts-ignore: decorator
@inline function unpack<T>(w: usize, count: i32, stride: i32, scratch: usize, sink: usize): void {
  const mask = held(i16x8.splat(15), sink);
  const pitch = <usize>stride << 1;
  let scales = scratch + <usize>count * pitch;
  for (let r = 0; r < count; r += 4) {
    let to = scratch + <usize>r * pitch;
    for (const end = to + pitch; to < end; to += 64) {
      const lanes = min(4, count - r);
      for (let lane = 0; lane < lanes; lane++) {
        const from = w + 16 + <usize>lane * codeBytes<T>();
        const row = to + <usize>lane * pitch;
        v128.store(row, codes<T>(from, 0, mask));
        v128.store(row, codes<T>(from, 1, mask), 16);
        v128.store(row, codes<T>(from, 2, mask), 32);
        v128.store(row, codes<T>(from, 3, mask), 48);
      }
      if (!isSigned<T>()) {
        v128.store(scales, loadFourHalves(w));
        v128.store(scales, loadFourHalves(w + 8), 16);
        scales += 32;
      }
      w += groupRecord<T>();
    }
  }
}

/** What `unpack` takes. */
// @ts-ignore: decorator
@inline function unpackedBytes<T>(count: i32, stride: i32): usize {
  const scales = isSigned<T>() ? 0 : <usize>((count + 3) >> 2) * <usize>stride;
  return <usize>count * (<usize>stride << 1) + scales;
}

/**
 * M (2–4) rows of activations against row `lane` of a panel: [row 0, row 1, row 2, row 3]. sums: of the four rows, group by
 * group · scales: of q4, scales and minimums of the panel as f32 {scale[4], minimum[4]} a record; where codes are not unpacked,
 * the first lane puts them there (isFirst) · unpacked: the row's codes as int16, where they are (isUnpacked)
 */
// @ts-ignore: decorator
@inline function rowsTimesLane<T>(
  M: i32, isFirst: bool, isUnpacked: bool, x: usize, sums: usize, record: usize, unpacked: usize, scales: usize, lane: i32, stride: i32, mask: v128,
): v128 {
  const pitch = <usize>stride << 1;
  let scale = (isSigned<T>() ? record : scales) + (<usize>lane << 2);
  let minimums = f32x4.splat(0);
  let w = isUnpacked ? unpacked : record + 16 + <usize>lane * codeBytes<T>();
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  const end = x + pitch;
  for (let p = x; p < end; p += 64) {
    const w0 = isUnpacked ? v128.load(w) : codes<T>(w, 0, mask);
    const w1 = isUnpacked ? v128.load(w, 16) : codes<T>(w, 1, mask);
    const w2 = isUnpacked ? v128.load(w, 32) : codes<T>(w, 2, mask);
    const w3 = isUnpacked ? v128.load(w, 48) : codes<T>(w, 3, mask);
    if (!isSigned<T>() && isFirst) {
      v128.store(scale, loadFourHalves(w - 16));
      v128.store(scale, loadFourHalves(w - 8), 16);
    }
    const s = v128.load_splat<f32>(scale);
    a = madd(dotHeld(p, w0, w1, w2, w3), s, a);
    b = madd(dotHeld(p + pitch, w0, w1, w2, w3), s, b);
    if (M > 2) c = madd(dotHeld(p + 2 * pitch, w0, w1, w2, w3), s, c);
    if (M > 3) d = madd(dotHeld(p + 3 * pitch, w0, w1, w2, w3), s, d);
    w += isUnpacked ? 64 : groupRecord<T>();
    if (isSigned<T>()) {
      scale += groupRecord<T>();
    } else {
      minimums = madd(v128.load_splat<f32>(scale, 16), v128.load(sums), minimums);
      sums += 16;
      scale += 32;
    }
  }
  const products = transposeSumF32(a, b, c, d);
  return isSigned<T>() ? products : f32x4.add(products, minimums);
}

/** scratch: what `unpack` left, or room for scales */
// @ts-ignore: decorator
@inline function rowsTimesBlock<T>(
  M: i32, isUnpacked: bool, x: usize, xScale: usize, xSums: usize, w: usize, scratch: usize, stride: i32, count: i32,
  out: usize, outPitch: usize, bias: usize, add: bool,
): void {
  const panelBytes = (<usize>stride >> 5) * groupRecord<T>();
  const pitch = <usize>stride << 1;
  const scales = isUnpacked ? scratch + <usize>count * pitch : scratch;
  const mask = held(i16x8.splat(15), scratch + SCRATCH_BYTES - 16);
  for (let r = 0; r < count; r++) {
    const panel = w + <usize>(r >> 2) * panelBytes;
    const expanded = scales + <usize>(r >> 2) * <usize>stride;
    const codes = scratch + <usize>r * pitch;
    const sums = !isSigned<T>() && !isUnpacked && (r & 3) == 0
      ? rowsTimesLane<T>(M, true, false, x, xSums, panel, 0, expanded, 0, stride, mask)
      : rowsTimesLane<T>(M, false, isUnpacked, x, xSums, panel, codes, expanded, r & 3, stride, mask);
    const to = out + (<usize>r << 2);
    const from = bias != 0 ? bias + (<usize>r << 2) : 0;
    storeOne(to, f32x4.extract_lane(sums, 0) * load<f32>(xScale), from, add);
    storeOne(to + outPitch, f32x4.extract_lane(sums, 1) * load<f32>(xScale, 4), from, add);
    if (M > 2) storeOne(to + 2 * outPitch, f32x4.extract_lane(sums, 2) * load<f32>(xScale, 8), from, add);
    if (M > 3) storeOne(to + 3 * outPitch, f32x4.extract_lane(sums, 3) * load<f32>(xScale, 12), from, add);
  }
}

// @ts-ignore: decorator
@inline function manyTimesBlock<T>(
  M: i32, isUnpacked: bool, x: usize, xScale: usize, xSums: usize, w: usize, scratch: usize, stride: i32, count: i32,
  out: usize, outPitch: usize, bias: usize, add: bool,
): void {
  if (isUnpacked) rowsTimesBlock<T>(M, true, x, xScale, xSums, w, scratch, stride, count, out, outPitch, bias, add);
  else rowsTimesBlock<T>(M, false, x, xScale, xSums, w, scratch, stride, count, out, outPitch, bias, add);
}

// @ts-ignore: decorator
@inline function grouped<T>(task: i32, params: usize, scratch: usize): void {
  const n = load<i32>(params, N);
  const stride = load<i32>(params, STRIDE);
  const rows = load<i32>(params, ROWS);
  const block = load<i32>(params, BLOCK);
  const start = task * block;
  const count = min(block, n - start);
  const panelBytes = (<usize>stride >> 5) * groupRecord<T>();
  const x = load<usize>(params, X);
  const xScale = load<usize>(params, X_SCALE);
  const pitch = <usize>stride << 1;
  const w = load<usize>(params, W) + <usize>(start >> 2) * panelBytes;
  const out = load<usize>(params, OUT) + (<usize>start << 2);
  const outPitch = <usize>load<i32>(params, TOTAL) << 2;
  let bias = load<usize>(params, BIAS);
  if (bias != 0) bias += <usize>start << 2;
  const add = load<i32>(params, ADD) != 0;

  // Of four rows of activations, a group's sums lie side by side.
  const sumPitch = <usize>stride >> 1;
  let xSums = load<usize>(params, X_SUMS);

  const isUnpacked = rows > 4 && unpackedBytes<T>(count, stride) <= SCRATCH_BYTES - 16;
  if (isUnpacked) unpack<T>(w, count, stride, scratch, scratch + SCRATCH_BYTES - 16);
  let m = 0;
  for (; m + 4 <= rows; m += 4) {
    manyTimesBlock<T>(4, isUnpacked, x + <usize>m * pitch, xScale + (<usize>m << 2), xSums, w, scratch, stride, count, out + <usize>m * outPitch, outPitch, bias, add);
    xSums += sumPitch;
  }
  const at = x + <usize>m * pitch;
  const scale = xScale + (<usize>m << 2);
  const to = out + <usize>m * outPitch;
  if (rows - m == 3) manyTimesBlock<T>(3, isUnpacked, at, scale, xSums, w, scratch, stride, count, to, outPitch, bias, add);
  else if (rows - m == 2) manyTimesBlock<T>(2, isUnpacked, at, scale, xSums, w, scratch, stride, count, to, outPitch, bias, add);
  else if (rows - m == 1) {
    const s = v128.load_splat<f32>(scale);
    const wEnd = touchEnd(params, <usize>((n + 3) >> 2) * panelBytes);
    const piece = pieceRecords(groupRecord<T>(), isSigned<T>() ? PIECE : SHORT_PIECE, <usize>stride >> 5, wEnd);
    for (let r = 0; r < count; r += 4) {
      const sums = f32x4.mul(rowTimesPanel<T>(at, xSums, w + <usize>(r >> 2) * panelBytes, stride, piece, wEnd, scratch + SCRATCH_BYTES - 16), s);
      storeFour(to + (<usize>r << 2), sums, bias != 0 ? bias + (<usize>r << 2) : 0, add, count - r);
    }
  }
}

export function linearQ8(task: i32, params: usize, scratch: usize): void {
  grouped<Q8>(task, params, scratch);
}

export function linearQ4(task: i32, params: usize, scratch: usize): void {
  grouped<Q4>(task, params, scratch);
}
