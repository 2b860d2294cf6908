/** @file Small dense matrices in f64, row-major [n][n]: product, inverse, Cholesky factor. */
import { TurboQuantError } from "../errors.ts";

/**
 * a·b. Four terms are added in each pass over the result, so that it is read and written less often; the order of additions is
 * that of one term after the other, so rounding is the same.
 */
export function multiply(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  const fours = n - (n % 4);
  for (let i = 0; i < n; i++) {
    const row = i * n;
    for (let k = 0; k < fours; k += 4) {
      const f0 = a[row + k]!;
      const f1 = a[row + k + 1]!;
      const f2 = a[row + k + 2]!;
      const f3 = a[row + k + 3]!;
      const b0 = k * n;
      const b1 = b0 + n;
      const b2 = b1 + n;
      const b3 = b2 + n;
      for (let j = 0; j < n; j++) {
        out[row + j] = out[row + j]! + f0 * b[b0 + j]! + f1 * b[b1 + j]! + f2 * b[b2 + j]! + f3 * b[b3 + j]!;
      }
    }
    for (let k = fours; k < n; k++) {
      for (let j = 0; j < n; j++) out[row + j]! += a[row + k]! * b[k * n + j]!;
    }
  }
  return out;
}

export function transpose(a: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out[j * n + i] = a[i * n + j]!;
  return out;
}

const notDefinite = (what: string): TurboQuantError =>
  new TurboQuantError("invalid_argument", `${what}: expected a well-conditioned matrix, got a singular one`);

/**
 * Inverse by Gauss–Jordan elimination with partial pivoting, in one array: a column of the inverse replaces the eliminated column.
 * @throws TurboQuantError invalid_argument — singular
 */
export function invert(a: Float64Array, n: number): Float64Array {
  const m = a.slice();
  const pivots = new Int32Array(n);
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let i = column + 1; i < n; i++) {
      if (Math.abs(m[i * n + column]!) > Math.abs(m[pivot * n + column]!)) pivot = i;
    }
    const size = m[pivot * n + column]!;
    if (!(Math.abs(size) > 1e-30)) throw notDefinite("inverse");
    pivots[column] = pivot;
    const from = column * n;
    if (pivot !== column) swap(m, from, pivot * n, 1, n);
    m[from + column] = 1;
    for (let k = 0; k < n; k++) m[from + k]! /= size;
    for (let i = 0; i < n; i += 2) {
      // Rows go in pairs that read the pivot row once. With an odd n the last row is its own partner, with factor 0.
      const r0 = i * n;
      const r1 = Math.min(i + 1, n - 1) * n;
      const f0 = r0 === from ? 0 : m[r0 + column]!;
      const f1 = r1 === from || r1 === r0 ? 0 : m[r1 + column]!;
      if (r0 !== from) m[r0 + column] = 0;
      if (r1 !== from) m[r1 + column] = 0;
      for (let k = 0; k < n; k++) {
        const p = m[from + k]!;
        m[r0 + k] = m[r0 + k]! - f0 * p;
        m[r1 + k] = m[r1 + k]! - f1 * p;
      }
    }
  }
  // A row exchange of the matrix is a column exchange of its inverse.
  for (let column = n - 1; column >= 0; column--) {
    if (pivots[column] !== column) swap(m, column, pivots[column]!, n, n);
  }
  return m;
}

/** Exchanges `count` elements at x, x + stride, … with those at y, y + stride, …. */
function swap(m: Float64Array, x: number, y: number, stride: number, count: number): void {
  for (let k = 0; k < count * stride; k += stride) {
    const kept = m[x + k]!;
    m[x + k] = m[y + k]!;
    m[y + k] = kept;
  }
}

/**
 * Lower triangular C with a = C·Cᵀ.
 * @throws TurboQuantError invalid_argument — not positive definite
 */
export function cholesky(a: Float64Array, n: number): Float64Array {
  const c = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= c[i * n + k]! * c[j * n + k]!;
      if (i !== j) c[i * n + j] = sum / c[j * n + j]!;
      else if (sum > 0) c[i * n + i] = Math.sqrt(sum);
      else throw notDefinite("cholesky");
    }
  }
  return c;
}
