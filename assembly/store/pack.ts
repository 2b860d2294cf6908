/** @file Writes prepared vectors and codes to a page as f16 rows, bit planes, or blocks of 32 with scales. */
import { toHalf, toHalves } from "../simd/vector";
import { PLANE_0, SCALES } from "../generated/append-params";

/** Clamps to the range of f16, which a rotation may exceed by gathering much of a vector in one coordinate. */
// @ts-ignore: decorator
@inline function inRange(v: v128): v128 {
  return f32x4.max(f32x4.min(v, f32x4.splat(65504)), f32x4.splat(-65504));
}

/** Writes a vector as f16. x: f32 [d] · to: address of the row · d: multiple of 8 */
export function storeHalves(x: usize, to: usize, d: usize): void {
  for (let i: usize = 0; i < d; i += 8) {
    v128.store(to + i * 2, i16x8.narrow_i32x4_u(toHalves(inRange(v128.load(x + i * 4))), toHalves(inRange(v128.load(x + i * 4, 16)))));
  }
}

/** Writes one plane: `width` bits of each code from bit `shift` on, eight codes at a time. to: u8 [d · width / 8] */
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
      // The multiplication gathers bit 0 of byte i in bit 56 + i.
      store<u8>(to, <u8>(((x & 0x0101010101010101) * 0x0102040810204080) >> 56));
    }
    to += width;
  }
}

/**
 * Writes the codes of one row to the bit planes of a page, the plane of the highest bits first.
 * codes: u8 [d] · index: the row's place in a plane, KV head · tokens of a page + token
 */
export function storeCodes(codes: usize, d: usize, bits: u32, side: usize, page: usize, index: usize): void {
  let shift = bits;
  let offset = PLANE_0;
  for (let width: u32 = 8; width > 0; width >>= 1) {
    if (!(bits & width)) continue;
    shift -= width;
    storePlane(codes, d, width, shift, page + load<u32>(side + offset) + index * ((d * width) >> 3));
    offset += 4;
  }
}

/** Reads the codes of one row from the bit planes of a page. codes: u8 [d] · bits: 1 to 8 · index: as in `storeCodes` */
export function loadCodes(codes: usize, d: usize, bits: u32, side: usize, page: usize, index: usize): void {
  memory.fill(codes, 0, d);
  let shift = bits;
  let offset = PLANE_0;
  for (let width: u32 = 8; width > 0; width >>= 1) {
    if (!(bits & width)) continue;
    shift -= width;
    const from = page + load<u32>(side + offset) + index * ((d * width) >> 3), mask = ((<u32>1) << width) - 1;
    for (let i: usize = 0; i < d; i++) {
      const at = i * width;
      const part = (<u32>load<u8>(from + (at >> 3)) >> <u32>(at & 7)) & mask;
      store<u8>(codes + i, load<u8>(codes + i) | <u8>(part << shift));
    }
    offset += 4;
  }
}

/**
 * Quantizes one row to q8_0 or q4_0r, blocks of 32 with an f16 scale each, and writes it to a page.
 * x: f32 [d] · index: the row's place in a plane, KV head · tokens of a page + token · codes: room for u8 [d]
 */
export function storeBlocks(x: usize, d: usize, isEight: bool, side: usize, page: usize, index: usize, codes: usize): void {
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
