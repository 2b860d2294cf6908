/**
 * @file Rows of Q4_K to q4 and of Q6_K to q8, a block of 256 values at a time: eight groups share what their scales are made of. The numbers are
 * those that group after group gives (blocks.ts, source-groups.ts), to the bit.
 */
import { held, loadSmallHalf, ROUND, toHalves } from "../simd/vector";
import { groupRecord, Q4, Q8 } from "./grouped";
import { inverseOf } from "./source-groups";

/** Bytes of a block, and where its parts lie. */
const Q4K_BYTES: usize = 144;
const Q6K_BYTES: usize = 210;

/** Six bits in each byte of a word, times `factor`, as f16 in the low half of each lane; infinite beyond the largest. */
// @ts-ignore: decorator
@inline function halvesOf(bytes: u32, factor: v128): v128 {
  const words = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(i32x4.splat(bytes)));
  const product = f32x4.mul(f32x4.convert_i32x4_s(words), factor);
  return toHalves(f32x4.pmax(f32x4.splat(-65536), f32x4.pmin(f32x4.splat(65536), product)));
}

/** Scale and minimum of one row's group. */
// @ts-ignore: decorator
@inline function putHalves(record: usize, lane: usize, scale: u16, minimum: u16): void {
  store<u16>(record + (lane << 1), scale);
  store<u16>(record + (lane << 1), minimum, 8);
}

/** record: of the row's first group · lane: the row's in its panel */
export function placeQ4K(from: usize, record: usize, lane: usize, stride: i32, scratch: usize): void {
  const low = i8x16.splat(15);
  for (let g = 0; g < stride; g += 256) {
    const scale = f32x4.splat(loadSmallHalf(from));
    const minimum = f32x4.splat(-loadSmallHalf(from + 2));
    const first = load<u32>(from, 4);
    const second = load<u32>(from, 8);
    const last = load<u32>(from, 12);
    v128.store(scratch, halvesOf(first & 0x3f3f3f3f, scale));
    v128.store(scratch, halvesOf((last & 0x0f0f0f0f) | ((first >> 2) & 0x30303030), scale), 16);
    v128.store(scratch, halvesOf(second & 0x3f3f3f3f, minimum), 32);
    v128.store(scratch, halvesOf(((last >> 4) & 0x0f0f0f0f) | ((second >> 2) & 0x30303030), minimum), 48);
    for (let s: usize = 0; s < 8; s += 2) {
      const words = scratch + (s << 2);
      const a = v128.load(from + 16 + (s << 4));
      const b = v128.load(from + 32 + (s << 4));
      const codes = record + 16 + (lane << 4);
      putHalves(record, lane, load<u16>(words), load<u16>(words, 32));
      v128.store(codes, v128.bitselect(a, i16x8.shl(b, 4), low));
      putHalves(record + groupRecord<Q4>(), lane, load<u16>(words, 4), load<u16>(words, 36));
      v128.store(codes + groupRecord<Q4>(), v128.bitselect(i16x8.shr_u(a, 4), b, low));
      record += 2 * groupRecord<Q4>();
    }
    from += Q4K_BYTES;
  }
}

/** Largest magnitudes of sixteen bytes each, in the lowest bytes of the two halves. */
// @ts-ignore: decorator
@inline function largest(a: v128, b: v128): v128 {
  const x = i8x16.abs(a);
  const y = i8x16.abs(b);
  let most = i8x16.max_u(v128.shuffle<u64>(x, y, 0, 2), v128.shuffle<u64>(x, y, 1, 3));
  most = i8x16.max_u(most, i64x2.shr_u(most, 32));
  most = i8x16.max_u(most, i64x2.shr_u(most, 16));
  return i8x16.max_u(most, i64x2.shr_u(most, 8));
}

/** Four codes times a scale, and the product times `inverse`, to the nearest integers. round: see `roundToInt` */
// @ts-ignore: decorator
@inline function nearest(codes: v128, scale: v128, inverse: v128, round: v128): v128 {
  const scaled = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(codes), scale), inverse);
  return i32x4.sub(f32x4.add(scaled, round), round);
}

/** The same of sixteen, as int8. */
// @ts-ignore: decorator
@inline function rescaled(codes: v128, factor: f32, inverse: v128, round: v128): v128 {
  const scale = f32x4.splat(factor);
  const low = i16x8.extend_low_i8x16_s(codes);
  const high = i16x8.extend_high_i8x16_s(codes);
  return i8x16.narrow_i16x8_s(
    i16x8.narrow_i32x4_s(
      nearest(i32x4.extend_low_i16x8_s(low), scale, inverse, round),
      nearest(i32x4.extend_high_i16x8_s(low), scale, inverse, round),
    ),
    i16x8.narrow_i32x4_s(
      nearest(i32x4.extend_low_i16x8_s(high), scale, inverse, round),
      nearest(i32x4.extend_high_i16x8_s(high), scale, inverse, round),
    ),
  );
}

/** Six-bit codes: the nibbles of a byte, and two bits in the low ones of another. */
// @ts-ignore: decorator
@inline function sixBits(nibbles: v128, pairs: v128, low: v128): v128 {
  const high = v128.and(i16x8.shl(pairs, 4), i8x16.splat(48));
  return i8x16.sub(v128.or(v128.and(nibbles, low), high), i8x16.splat(32));
}

/** See `placeQ4K`. The largest product is that of the largest code, since rounding keeps an order. */
export function quantizeQ6K(from: usize, record: usize, lane: usize, stride: i32, scratch: usize): void {
  const low = held(i8x16.splat(15), scratch);
  const round = held(f32x4.splat(ROUND), scratch);
  for (let g = 0; g < stride; g += 256) {
    const d = loadSmallHalf(from + 208);
    for (let s = 0; s < 8; s++) {
      const half = <usize>(s >> 2) << 5;
      const lows = from + 2 * half + (<usize>(s & 1) << 5);
      const shift = 4 * ((s >> 1) & 1);
      const highs = from + 128 + half;
      const pair = 2 * (s & 3);
      const first = sixBits(i16x8.shr_u(v128.load(lows), shift), i16x8.shr_u(v128.load(highs), pair), low);
      const second = sixBits(i16x8.shr_u(v128.load(lows, 16), shift), i16x8.shr_u(v128.load(highs, 16), pair), low);
      const a = d * <f32>load<i8>(from + 2 * <usize>s, 192);
      const b = d * <f32>load<i8>(from + 2 * <usize>s, 193);
      const most = largest(first, second);
      const peak = max<f32>(
        abs(a) * <f32>(<i32>i8x16.extract_lane_u(most, 0)),
        abs(b) * <f32>(<i32>i8x16.extract_lane_u(most, 8)),
      );
      const inverse = inverseOf(peak);
      store<f32>(record + (lane << 2), peak / 127);
      const codes = record + 16 + (lane << 5);
      v128.store(codes, rescaled(first, a, inverse, round));
      v128.store(codes, rescaled(second, b, inverse, round), 16);
      record += groupRecord<Q8>();
    }
    from += Q6K_BYTES;
  }
}
