/**
 * @file Weights from the format of the checkpoint to the one they are kept in, rows at a time: plain numbers into every
 * format, blocks into panels of their own, and ggml's blocks into both, by their codes where q8 or q4 have them.
 */
import { BLOCK, COLS, DTYPE, FIRST_ROW, FROM, NOT_FINITE, ROWS, SOURCE_BYTES, STRIDE, TO } from "../generated/convert-params";
import { BF16, F16, F32, FIRST_BLOCKS, Q4 as Q4_BLOCKS, Q4_0, Q4_1, Q4_K, Q6_K, Q8 as Q8_BLOCKS, Q8_0 } from "../generated/weight-types";
import { toHalf } from "../simd/vector";
import { quantizeAffine } from "./affine";
import { blockBytes, codesToQ4, codesToQ8, haveBadScales, isInQ4, isInQ8, unpackGroup } from "./blocks";
import { codeBytes, groupRecord, Q4, Q8 } from "./grouped";
import { blockAt, groupAt, inverseOf, limitOf, loadAs, nearestCodes, peakOfGroup, repeatLast } from "./source-groups";
import { placeQ4K, quantizeQ6K } from "./super-blocks";
import { Bfloat, Half, panelBytes, RECORD, recordCols } from "./types";

// @ts-ignore: decorator
@inline function sourceRow(params: usize, row: i32): usize {
  return load<usize>(params, FROM) + <usize>row * load<usize>(params, SOURCE_BYTES);
}

/** Sign bits are set where all bits of an exponent are. v: sixteen bytes of numbers */
// @ts-ignore: decorator
@inline function notFinite<T>(v: v128): v128 {
  if (isFloat<T>()) return i32x4.add(v128.and(v, i32x4.splat(0x7fffffff)), i32x4.splat(0x800000));
  return i16x8.add(v128.and(v, i16x8.splat(0x7fff)), i16x8.splat(isSigned<T>() ? 0x80 : 0x400));
}

/** Tells the host. Threads write the same. */
// @ts-ignore: decorator
@inline function report(params: usize, isFound: bool): void {
  if (isFound) store<u32>(params, 1, NOT_FINITE);
}

// @ts-ignore: decorator
@inline function storeAs<T>(to: usize, i: i32, v: f32): void {
  if (isFloat<T>()) store<f32>(to + (<usize>i << 2), v);
  else if (!isSigned<T>()) store<u16>(to + (<usize>i << 1), <u16>toHalf(min<f32>(65504, max<f32>(-65504, v))));
  else {
    // Round to nearest even: add half of the last kept bit, and that bit itself.
    const bits = reinterpret<u32>(v);
    store<u16>(to + (<usize>i << 1), <u16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16));
  }
}

/** A row of ggml's blocks as plain numbers, group after group by way of scratch. */
// @ts-ignore: decorator
@inline function convertBlocks<T>(dtype: i32, from: usize, to: usize, cols: i32, scratch: usize): void {
  const bytes = blockBytes(dtype);
  for (let g = 0; g < cols; g += 32) {
    unpackGroup(dtype, blockAt(dtype, from, g, bytes), groupAt(dtype, g), scratch);
    for (let i = 0; i < 32; i += recordCols<T>()) {
      for (let c = 0; c < recordCols<T>(); c++) storeAs<T>(to, c, load<f32>(scratch + (<usize>(i + c) << 2)));
      to += RECORD;
    }
  }
}

// @ts-ignore: decorator
@inline function convert<T>(task: i32, params: usize, scratch: usize): void {
  const dtype = load<i32>(params, DTYPE);
  const cols = load<i32>(params, COLS);
  const stride = load<i32>(params, STRIDE);
  const block = load<i32>(params, BLOCK);
  const end = min(load<i32>(params, ROWS), (task + 1) * block);
  const type = isFloat<T>() ? F32 : isSigned<T>() ? BF16 : F16;
  const limit = limitOf(dtype);
  let found = i32x4.splat(0);
  let isFound = false;
  for (let r = task * block; r < end; r++) {
    const from = sourceRow(params, r);
    const row = load<i32>(params, FIRST_ROW) + r;
    let to = load<usize>(params, TO) + <usize>(row >> 2) * panelBytes<T>(stride) + (<usize>(row & 3) << 4);
    if (dtype >= FIRST_BLOCKS) {
      isFound = isFound || haveBadScales(dtype, from, load<u32>(params, SOURCE_BYTES));
      convertBlocks<T>(dtype, from, to, cols, scratch);
      continue;
    }
    // Whole records as they are.
    const whole = dtype == type ? cols - (cols & (recordCols<T>() - 1)) : 0;
    for (let i = 0; i < whole; i += recordCols<T>()) {
      const v = v128.load(from + (isFloat<T>() ? <usize>i << 2 : <usize>i << 1));
      found = v128.or(found, notFinite<T>(v));
      v128.store(to, v);
      to += RECORD;
    }
    for (let i = whole; i < cols; i += recordCols<T>()) {
      const count = min(recordCols<T>(), cols - i);
      for (let c = 0; c < count; c++) {
        const v = loadAs(dtype, from, i + c);
        isFound = isFound || !(abs(v) < limit);
        storeAs<T>(to, c, v);
      }
      to += RECORD;
    }
  }
  report(params, isFound || (isFloat<T>() ? i32x4.bitmask(found) : i16x8.bitmask(found)) != 0);
}

export function convertToF32(task: i32, params: usize, scratch: usize): void {
  convert<f32>(task, params, scratch);
}

/** Values beyond ±65504 are clamped. */
export function convertToF16(task: i32, params: usize, scratch: usize): void {
  convert<Half>(task, params, scratch);
}

export function convertToBf16(task: i32, params: usize, scratch: usize): void {
  convert<Bfloat>(task, params, scratch);
}

/** Scale of a row's lane in a record; of q4 the halves of scale and minimum, whose scales lie together, as do their minimums. */
// @ts-ignore: decorator
@inline function placeScale<T>(record: usize, lane: usize, bits: u32): void {
  if (isSigned<T>()) {
    store<u32>(record + (lane << 2), bits);
  } else {
    store<u16>(record + (lane << 1), <u16>bits);
    store<u16>(record + (lane << 1), <u16>(bits >> 16), 8);
  }
}

/** Blocks {scale, codes} of a row, stored in this format already, to its lane of the panel's records. */
// @ts-ignore: decorator
@inline function placeBlocks<T>(from: usize, record: usize, lane: usize, stride: i32): void {
  for (let g = 0; g < stride; g += 32) {
    placeScale<T>(record, lane, load<u32>(from));
    const codes = record + 16 + lane * codeBytes<T>();
    v128.store(codes, v128.load(from, 4));
    if (isSigned<T>()) v128.store(codes, v128.load(from, 20), 16);
    from += 4 + codeBytes<T>();
    record += groupRecord<T>();
  }
}

/** A row of ggml's blocks whose codes this format has. dtype: a constant, or it is looked at for every block */
// @ts-ignore: decorator
@inline function placeCodes<T>(dtype: i32, from: usize, record: usize, lane: usize, stride: i32): void {
  const bytes = blockBytes(dtype);
  for (let g = 0; g < stride; g += 32) {
    const block = blockAt(dtype, from, g, bytes);
    const codes = record + 16 + lane * codeBytes<T>();
    if (isSigned<T>()) placeScale<T>(record, lane, reinterpret<u32>(codesToQ8(dtype, block, groupAt(dtype, g), codes)));
    else placeScale<T>(record, lane, codesToQ4(dtype, block, groupAt(dtype, g), codes));
    record += groupRecord<T>();
  }
}

/** Rows in groups of 32: the rules of src/weights/formats/q8.ts and q4.ts. */
// @ts-ignore: decorator
@inline function convertGroups<T>(task: i32, params: usize, scratch: usize): void {
  const dtype = load<i32>(params, DTYPE);
  const isStoredSo = dtype == (isSigned<T>() ? Q8_BLOCKS : Q4_BLOCKS);
  const cols = load<i32>(params, COLS);
  const stride = load<i32>(params, STRIDE);
  const block = load<i32>(params, BLOCK);
  const end = min(load<i32>(params, ROWS), (task + 1) * block);
  const panel = (<usize>stride >> 5) * groupRecord<T>();
  const bytes = dtype >= FIRST_BLOCKS ? blockBytes(dtype) : 0;
  const limit = limitOf(dtype);
  let isFound = false;
  for (let r = task * block; r < end; r++) {
    const from = sourceRow(params, r);
    const row = load<i32>(params, FIRST_ROW) + r;
    const lane = <usize>(row & 3);
    let record = load<usize>(params, TO) + <usize>(row >> 2) * panel;
    if (isStoredSo) {
      placeBlocks<T>(from, record, lane, stride);
      continue;
    }
    if (dtype >= FIRST_BLOCKS) isFound = isFound || haveBadScales(dtype, from, load<u32>(params, SOURCE_BYTES));
    if (isSigned<T>()) {
      if (dtype == Q6_K) {
        quantizeQ6K(from, record, lane, stride, scratch);
        continue;
      }
      if (isInQ8(dtype)) {
        if (dtype == Q8_0) placeCodes<T>(Q8_0, from, record, lane, stride);
        else placeCodes<T>(dtype, from, record, lane, stride);
        continue;
      }
    } else if (isInQ4(dtype)) {
      if (dtype == Q4_K) placeQ4K(from, record, lane, stride, scratch);
      else if (dtype == Q4_0) placeCodes<T>(Q4_0, from, record, lane, stride);
      else placeCodes<T>(Q4_1, from, record, lane, stride);
      continue;
    }
    for (let g = 0; g < stride; g += 32) {
      const peak = peakOfGroup(dtype, from, g, cols, bytes, scratch);
      isFound = isFound || !(peak < limit);
      const codes = record + 16 + lane * codeBytes<T>();
      if (isSigned<T>()) {
        const inverse = inverseOf(peak);
        store<f32>(record + (lane << 2), peak / 127);
        v128.store(codes, nearestCodes(scratch, inverse));
        v128.store(codes, nearestCodes(scratch + 64, inverse), 16);
      } else {
        repeatLast(scratch, cols - g);
        placeScale<T>(record, lane, quantizeAffine(scratch, codes));
      }
      record += groupRecord<T>();
    }
  }
  report(params, isFound);
}

export function convertToQ8(task: i32, params: usize, scratch: usize): void {
  convertGroups<Q8>(task, params, scratch);
}

export function convertToQ4(task: i32, params: usize, scratch: usize): void {
  convertGroups<Q4>(task, params, scratch);
}
