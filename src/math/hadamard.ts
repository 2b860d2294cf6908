/** @file The Walsh–Hadamard transform, unnormalised, in f32. */

/** In place on x[offset .. offset+n): butterflies (a+b, a−b) of strides 1, 2, 4 …; one f32 rounding each. n: power of two. */
export function fwht(x: Float32Array, offset: number, n: number): void {
  for (let stride = 1; stride < n; stride *= 2) {
    for (let block = offset; block < offset + n; block += 2 * stride) {
      for (let i = block; i < block + stride; i++) {
        const a = x[i]!;
        const b = x[i + stride]!;
        x[i] = a + b;
        x[i + stride] = a - b;
      }
    }
  }
}
