/** @file The Walsh–Hadamard transform, unnormalised, in f32. */

/**
 * Transforms x[offset .. offset+n) in place: butterflies (a+b, a−b) with strides 1, 2, 4 …, each rounded to f32 once.
 * n: a power of two
 */
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
