/** @file The f32 dot product with a fixed order of operations, which every backend reproduces bit for bit. */

/**
 * Sums in four accumulators (index mod 4), each operation rounded to f32, joined as (s0 + s1) + (s2 + s3).
 * n: multiple of 4
 */
export function dot4(a: Float32Array, aOffset: number, b: Float32Array, bOffset: number, n: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  for (let i = 0; i < n; i += 4) {
    s0 = Math.fround(s0 + Math.fround(a[aOffset + i]! * b[bOffset + i]!));
    s1 = Math.fround(s1 + Math.fround(a[aOffset + i + 1]! * b[bOffset + i + 1]!));
    s2 = Math.fround(s2 + Math.fround(a[aOffset + i + 2]! * b[bOffset + i + 2]!));
    s3 = Math.fround(s3 + Math.fround(a[aOffset + i + 3]! * b[bOffset + i + 3]!));
  }
  return Math.fround(Math.fround(s0 + s1) + Math.fround(s2 + s3));
}
