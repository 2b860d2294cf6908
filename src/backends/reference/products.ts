/** @file Products of a matrix and a vector, in f64. Four sums side by side do not wait for each other; each is added up from its first term to its last, as if it were alone. */

/** sums[r] += ⟨row r, x⟩. matrix: [sums.length][cols] · x: cols values from `at` · sums: what they begin with, overwritten */
export function addProducts(matrix: Float32Array, cols: number, x: Float32Array, at: number, sums: Float64Array): void {
  let r = 0;
  for (; r + 4 <= sums.length; r += 4) {
    let s0 = sums[r]!;
    let s1 = sums[r + 1]!;
    let s2 = sums[r + 2]!;
    let s3 = sums[r + 3]!;
    for (let i = 0, from = r * cols; i < cols; i++, from++) {
      const value = x[at + i]!;
      s0 += matrix[from]! * value;
      s1 += matrix[from + cols]! * value;
      s2 += matrix[from + 2 * cols]! * value;
      s3 += matrix[from + 3 * cols]! * value;
    }
    sums[r] = s0;
    sums[r + 1] = s1;
    sums[r + 2] = s2;
    sums[r + 3] = s3;
  }
  for (; r < sums.length; r++) {
    let sum = sums[r]!;
    for (let i = 0, from = r * cols; i < cols; i++) sum += matrix[from + i]! * x[at + i]!;
    sums[r] = sum;
  }
}
