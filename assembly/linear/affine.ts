/**
 * @file Scale, minimum and codes of a group of 32 values: the rule of src/weights/formats/q4.ts, byte for byte. Sums are of four
 * lanes and nothing is fused.
 */
import { horizontalSum, loadHalf, toHalf } from "../simd/vector";

/** Bytes of scratch: the values as f32, codes that are tried, codes of the best range so far, and two halves. */
const TRIED: usize = 128;
const BEST: usize = 256;
const HALVES: usize = 384;

const SHRUNK: f32 = 0.9;

/** Codes of the nearest levels, i32 [32] at scratch + TRIED. */
function roundTo(scratch: usize, from: f32, step: f32): void {
  const inverse = f32x4.splat(step == 0 ? 0 : <f32>1 / step);
  const base = f32x4.splat(from);
  for (let i: usize = 0; i < 128; i += 16) {
    const scaled = f32x4.mul(f32x4.sub(v128.load(scratch + i), base), inverse);
    const level = f32x4.floor(f32x4.add(scaled, f32x4.splat(0.5)));
    const inRange = f32x4.max(f32x4.splat(0), f32x4.min(f32x4.splat(15), level));
    v128.store(scratch + i + TRIED, i32x4.trunc_sat_f32x4_s(inRange));
  }
}

// @ts-ignore: decorator
@inline function sumOfLanes(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}

// @ts-ignore: decorator
@inline function halfBits(value: f32): u32 {
  return <u32>toHalf(min<f32>(65504, max<f32>(-65504, value))) & 0xffff;
}

/** Fits codes, scale and minimum to a range; leaves the halves in scratch. returns: the squared error */
function fit(scratch: usize, from: f32, step: f32, sum: f32): f32 {
  roundTo(scratch, from, step);
  let counts = i32x4.splat(0);
  let squares = i32x4.splat(0);
  let products = f32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) {
    const code = v128.load(scratch + i + TRIED);
    counts = i32x4.add(counts, code);
    squares = i32x4.add(squares, i32x4.mul(code, code));
    products = f32x4.add(products, f32x4.mul(v128.load(scratch + i), f32x4.convert_i32x4_s(code)));
  }
  const count = sumOfLanes(counts);
  const spread = 32 * sumOfLanes(squares) - count * count;
  let scale = step;
  let minimum = from;
  if (spread > 0) {
    scale = (<f32>32 * horizontalSum(products) - <f32>count * sum) / <f32>spread;
    minimum = (sum - scale * <f32>count) / 32;
  }
  store<u16>(scratch + HALVES, <u16>halfBits(scale));
  store<u16>(scratch + HALVES, <u16>halfBits(minimum), 2);
  const kept = loadHalf(scratch + HALVES);
  const base = loadHalf(scratch + HALVES + 2);
  roundTo(scratch, base, kept);
  let errors = f32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) {
    const code = f32x4.convert_i32x4_s(v128.load(scratch + i + TRIED));
    const level = f32x4.add(f32x4.mul(f32x4.splat(kept), code), f32x4.splat(base));
    const off = f32x4.sub(v128.load(scratch + i), level);
    errors = f32x4.add(errors, f32x4.mul(off, off));
  }
  return horizontalSum(errors);
}

// @ts-ignore: decorator
@inline function sixteenBytes(p: usize): v128 {
  const low = i16x8.narrow_i32x4_s(v128.load(p), v128.load(p, 16));
  const high = i16x8.narrow_i32x4_s(v128.load(p, 32), v128.load(p, 48));
  return i8x16.narrow_i16x8_u(low, high);
}

/**
 * The 32 values at scratch. Nibbles go to `codes`, 16 bytes.
 * returns: the bits of the scale, and those of the minimum above them
 */
export function quantizeAffine(scratch: usize, codes: usize): u32 {
  let lows = v128.load(scratch);
  let highs = lows;
  let sums = lows;
  for (let i: usize = 16; i < 128; i += 16) {
    const v = v128.load(scratch + i);
    lows = f32x4.min(lows, v);
    highs = f32x4.max(highs, v);
    sums = f32x4.add(sums, v);
  }
  const low = min<f32>(
    min<f32>(f32x4.extract_lane(lows, 0), f32x4.extract_lane(lows, 1)),
    min<f32>(f32x4.extract_lane(lows, 2), f32x4.extract_lane(lows, 3)),
  );
  const high = max<f32>(
    max<f32>(f32x4.extract_lane(highs, 0), f32x4.extract_lane(highs, 1)),
    max<f32>(f32x4.extract_lane(highs, 2), f32x4.extract_lane(highs, 3)),
  );
  const sum = horizontalSum(sums);
  let best = f32.MAX_VALUE;
  let halves: u32 = 0;
  for (let way = 0; way < 4; way++) {
    const from = way & 2 ? low * SHRUNK : low;
    const to = way & 1 ? high * SHRUNK : high;
    const error = fit(scratch, from, (to - from) / 15, sum);
    if (way > 0 && !(error < best)) continue;
    best = error;
    halves = load<u32>(scratch + HALVES);
    memory.copy(scratch + BEST, scratch + TRIED, 128);
  }
  v128.store(codes, v128.or(sixteenBytes(scratch + BEST), i8x16.shl(sixteenBytes(scratch + BEST + 64), 4)));
  return halves;
}
