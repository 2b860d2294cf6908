/**
 * @file Rows of a checkpoint to q8 and q4 as kernels of WebGPU read them (src/backends/webgpu/linear/weight-bytes.ts): units of eight
 * columns in order, and the scales of groups in an array of their own. A module by itself; the numbers are those of src/weights.
 */
import { COLS, DTYPE, FROM, LEAST_PEAK, NOT_FINITE, PEAK, ROWS, SCALES, SOURCE_BYTES, STRIDE, TO } from "../generated/device-rows-params";
import { FIRST_BLOCKS, Q4 as Q4_BLOCKS, Q8 as Q8_BLOCKS } from "../generated/weight-types";
import { quantizeAffine } from "../linear/affine";
import { blockBytes, codesToQ4, codesToQ8, isInQ4, isInQ8 } from "../linear/blocks";
import { codeBytes, Q4, Q8 } from "../linear/grouped";
import { blockAt, groupAt, inverseOf, limitOf, nearestCodes, peakOfGroup, repeatLast } from "../linear/source-groups";
import { loadHalf } from "../simd/vector";

/** Nibbles of two bytes beside each other in one: of columns b and b + 1, for even b, in the low byte of each lane. */
// @ts-ignore: decorator
@inline function joined(v: v128): v128 {
  return v128.and(v128.or(v, i16x8.shr_u(v, 4)), i16x8.splat(255));
}

/** Sixteen bytes with columns b and b + 16 to the nibbles of columns 0 to 31, from the lowest on. */
// @ts-ignore: decorator
@inline function inOrder(v: v128): v128 {
  const mask = i8x16.splat(15);
  return i8x16.narrow_i16x8_u(joined(v128.and(v, mask)), joined(v128.and(i16x8.shr_u(v, 4), mask)));
}

/** The number with these bits, without its sign. */
// @ts-ignore: decorator
@inline function halfOf(bits: u32, scratch: usize): f32 {
  store<u16>(scratch, <u16>bits);
  return loadHalf(scratch);
}

// @ts-ignore: decorator
@inline function convert<T>(params: usize, scratch: usize): void {
  const dtype = load<i32>(params, DTYPE);
  const isStoredSo = dtype == (isSigned<T>() ? Q8_BLOCKS : Q4_BLOCKS);
  const hasCodes = isSigned<T>() ? isInQ8(dtype) : isInQ4(dtype);
  const cols = load<i32>(params, COLS);
  const stride = load<i32>(params, STRIDE);
  const rows = load<i32>(params, ROWS);
  const bytes = dtype >= FIRST_BLOCKS ? blockBytes(dtype) : 0;
  const limit = limitOf(dtype);
  let from = load<usize>(params, FROM);
  let to = load<usize>(params, TO);
  let scales = load<usize>(params, SCALES);
  let isFound = false;
  // Bits of numbers without their signs have the order of the numbers.
  let largestScale: u32 = 0;
  let largestMinimum: u32 = 0;
  for (let r = 0; r < rows; r++) {
    for (let g = 0; g < stride; g += 32) {
      let scale: u32;
      if (isStoredSo) {
        const block = from + <usize>(g >> 5) * (4 + codeBytes<T>());
        scale = load<u32>(block);
        v128.store(to, v128.load(block, 4));
        if (isSigned<T>()) v128.store(to, v128.load(block, 20), 16);
      } else if (hasCodes) {
        const block = blockAt(dtype, from, g, bytes);
        if (isSigned<T>()) scale = reinterpret<u32>(codesToQ8(dtype, block, groupAt(dtype, g), to));
        else scale = codesToQ4(dtype, block, groupAt(dtype, g), to);
      } else {
        const largest = peakOfGroup(dtype, from, g, cols, bytes, scratch);
        isFound = isFound || !(largest < limit);
        if (isSigned<T>()) {
          const inverse = inverseOf(largest);
          scale = reinterpret<u32>(<f32>(largest / 127));
          v128.store(to, nearestCodes(scratch, inverse));
          v128.store(to, nearestCodes(scratch + 64, inverse), 16);
        } else {
          repeatLast(scratch, cols - g);
          scale = quantizeAffine(scratch, to);
        }
      }
      if (!isSigned<T>()) v128.store(to, inOrder(v128.load(to)));
      store<u32>(scales, scale);
      if (isSigned<T>()) {
        largestScale = max<u32>(largestScale, scale & 0x7fffffff);
      } else {
        largestScale = max<u32>(largestScale, scale & 0x7fff);
        largestMinimum = max<u32>(largestMinimum, (scale >> 16) & 0x7fff);
      }
      to += codeBytes<T>();
      scales += 4;
    }
    from += load<usize>(params, SOURCE_BYTES);
  }
  if (isSigned<T>()) {
    const peak = <f32>127 * reinterpret<f32>(largestScale);
    store<f32>(params, peak, PEAK);
    store<f32>(params, peak, LEAST_PEAK);
  } else {
    const minimum = halfOf(largestMinimum, scratch);
    store<f32>(params, <f32>15 * halfOf(largestScale, scratch) + minimum, PEAK);
    store<f32>(params, minimum, LEAST_PEAK);
  }
  if (isFound) store<u32>(params, 1, NOT_FINITE);
}

export function rowsToQ8(params: usize, scratch: usize): void {
  convert<Q8>(params, scratch);
}

export function rowsToQ4(params: usize, scratch: usize): void {
  convert<Q4>(params, scratch);
}
