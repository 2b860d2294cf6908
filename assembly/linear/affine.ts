/**
 * @file Scale, minimum and codes of a group of 32 values: the rule of src/weights/formats/q4.ts, byte for byte. Sums are of four
 * lanes and nothing is fused.
 */
import { horizontalSum, loadHalf, toHalf } from "../simd/vector";

/** Bytes of scratch: the values as f32, codes of a range that is tried and of the best so far, and two halves. */
const CODES: usize = 128;
const OTHER_CODES: usize = 256;
const HALVES: usize = 384;

const SHRUNK: f32 = 0.9;

/** Nearest levels of four values, from 0 to 15, as floats; 0 for a value that is none because the step is next to nothing. */
// @ts-ignore: decorator
@inline function nearestLevels(v: v128, base: v128, inverse: v128): v128 {
  const level = f32x4.floor(f32x4.add(f32x4.mul(f32x4.sub(v, base), inverse), f32x4.splat(0.5)));
  return f32x4.pmin(f32x4.splat(15), f32x4.pmax(f32x4.splat(0), level));
}

// @ts-ignore: decorator
@inline function inverseOf(step: f32): v128 {
  return f32x4.splat(step == 0 ? 0 : <f32>1 / step);
}

/** Of whole numbers below 2^24, so that no order of the sum matters. */
// @ts-ignore: decorator
@inline function sumOfLanes(v: v128): i32 {
  return <i32>(f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

// @ts-ignore: decorator
@inline function halfBits(value: f32): u32 {
  return <u32>toHalf(min<f32>(65504, max<f32>(-65504, value))) & 0xffff;
}

/** Fits scale and minimum to a range, and puts the codes at `codes` as f32 [32]; leaves the halves in scratch. returns: the squared error */
function fit(scratch: usize, codes: usize, from: f32, step: f32, sum: f32): f32 {
  let counts = f32x4.splat(0);
  let squares = f32x4.splat(0);
  let products = f32x4.splat(0);
  const low = f32x4.splat(from);
  const inverse = inverseOf(step);
  for (let i: usize = 0; i < 128; i += 16) {
    const v = v128.load(scratch + i);
    const code = nearestLevels(v, low, inverse);
    counts = f32x4.add(counts, code);
    squares = f32x4.add(squares, f32x4.mul(code, code));
    products = f32x4.add(products, f32x4.mul(v, code));
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
  const scales = f32x4.splat(kept);
  const base = f32x4.splat(loadHalf(scratch + HALVES + 2));
  const keptInverse = inverseOf(kept);
  let errors = f32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) {
    const v = v128.load(scratch + i);
    const code = nearestLevels(v, base, keptInverse);
    v128.store(codes + i, code);
    const off = f32x4.sub(v, f32x4.add(f32x4.mul(scales, code), base));
    errors = f32x4.add(errors, f32x4.mul(off, off));
  }
  return horizontalSum(errors);
}

// @ts-ignore: decorator
@inline function fourCodes(p: usize): v128 {
  return i32x4.trunc_sat_f32x4_s(v128.load(p));
}

// @ts-ignore: decorator
@inline function sixteenBytes(p: usize): v128 {
  const low = i16x8.narrow_i32x4_s(fourCodes(p), fourCodes(p + 16));
  const high = i16x8.narrow_i32x4_s(fourCodes(p + 32), fourCodes(p + 48));
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
  let tried = scratch + CODES;
  let bestCodes = scratch + OTHER_CODES;
  for (let way = 0; way < 4; way++) {
    const from = way & 2 ? low * SHRUNK : low;
    const to = way & 1 ? high * SHRUNK : high;
    const error = fit(scratch, tried, from, (to - from) / 15, sum);
    if (way > 0 && !(error < best)) continue;
    best = error;
    halves = load<u32>(scratch + HALVES);
    const taken = tried;
    tried = bestCodes;
    bestCodes = taken;
  }
  v128.store(codes, v128.or(sixteenBytes(bestCodes), i16x8.shl(sixteenBytes(bestCodes + 64), 4)));
  return halves;
}
