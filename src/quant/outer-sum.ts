/** @file Sums of x·xᵀ over many vectors, four at a time, so that the sum is read and written once for four of them. */

const BLOCK = 4;

/** Adds the lower triangle of Σ x·xᵀ over `rows` vectors of d coordinates, one after the other in x; `mirrored` completes the sum. */
export function addOuterProducts(sum: Float64Array, x: Float64Array, rows: number, d: number): void {
  let row = 0;
  for (; row + BLOCK <= rows; row += BLOCK) {
    const [x0, x1, x2, x3] = [row * d, (row + 1) * d, (row + 2) * d, (row + 3) * d];
    for (let i = 0; i < d; i++) {
      const [f0, f1, f2, f3] = [x[x0 + i]!, x[x1 + i]!, x[x2 + i]!, x[x3 + i]!];
      for (let j = 0, at = i * d; j <= i; j++, at++) {
        sum[at] = sum[at]! + f0 * x[x0 + j]! + f1 * x[x1 + j]! + f2 * x[x2 + j]! + f3 * x[x3 + j]!;
      }
    }
  }
  for (; row < rows; row++) {
    const from = row * d;
    for (let i = 0; i < d; i++) {
      const f = x[from + i]!;
      for (let j = 0, at = i * d; j <= i; j++, at++) sum[at] = sum[at]! + f * x[from + j]!;
    }
  }
}

/** The whole of a symmetric matrix [d][d] of which the lower triangle is given. */
export function mirrored(lower: Float64Array, d: number): Float64Array {
  const whole = lower.slice();
  for (let i = 0; i < d; i++) for (let j = i + 1; j < d; j++) whole[i * d + j] = lower[j * d + i]!;
  return whole;
}
