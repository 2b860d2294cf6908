/** @file Small dense matrices in f64, row-major [n][n]: products, inverse, Cholesky factor, eigenvalues of symmetric ones. */
import { TurboQuantError } from "../errors.ts";

/** a·b */
export function multiply(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < n; k++) {
      const factor = a[i * n + k]!;
      if (factor === 0) continue;
      for (let j = 0; j < n; j++) out[i * n + j]! += factor * b[k * n + j]!;
    }
  }
  return out;
}

export function transpose(a: Float64Array, n: number): Float64Array {
  return Float64Array.from(a, (_, at) => a[(at % n) * n + Math.floor(at / n)]!);
}

const notDefinite = (what: string): TurboQuantError =>
  new TurboQuantError("invalid_argument", `${what}: expected a well-conditioned matrix, got a singular one`);

/**
 * Inverse by Gauss–Jordan with partial pivoting.
 * @throws TurboQuantError invalid_argument — singular
 */
export function invert(a: Float64Array, n: number): Float64Array {
  const left = a.slice();
  const right = new Float64Array(n * n);
  for (let i = 0; i < n; i++) right[i * n + i] = 1;
  const swap = (m: Float64Array, i: number, j: number): void => {
    for (let k = 0; k < n; k++) [m[i * n + k], m[j * n + k]] = [m[j * n + k]!, m[i * n + k]!];
  };
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let i = column + 1; i < n; i++) {
      if (Math.abs(left[i * n + column]!) > Math.abs(left[pivot * n + column]!)) pivot = i;
    }
    const size = left[pivot * n + column]!;
    if (!(Math.abs(size) > 1e-30)) throw notDefinite("inverse");
    if (pivot !== column) for (const m of [left, right]) swap(m, pivot, column);
    for (const m of [left, right]) for (let k = 0; k < n; k++) m[column * n + k]! /= size;
    for (let i = 0; i < n; i++) {
      const factor = left[i * n + column]!;
      if (i === column || factor === 0) continue;
      for (const m of [left, right]) for (let k = 0; k < n; k++) m[i * n + k]! -= factor * m[column * n + k]!;
    }
  }
  return right;
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

/**
 * Eigenvalues and vectors of a symmetric matrix by cyclic Jacobi rotations, to about 1e-12 of the largest.
 * returns: values [n] unordered; vectors row-major [n][n], row i belongs to values[i]
 */
export function eigenSymmetric(a: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } {
  const m = a.slice();
  const vectors = new Float64Array(n * n);
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
  const norm = m.reduce((sum, x) => sum + x * x, 0);
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) off += m[i * n + j]! ** 2;
    if (off <= 1e-24 * norm) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotatePair(m, vectors, n, p, q);
  }
  return { values: Float64Array.from({ length: n }, (_, i) => m[i * n + i]!), vectors };
}

/** One Jacobi rotation, which makes m[p][q] zero. Rows and columns of m, rows of the vectors. */
function rotatePair(m: Float64Array, vectors: Float64Array, n: number, p: number, q: number): void {
  const apq = m[p * n + q]!;
  if (apq === 0) return;
  const theta = (m[q * n + q]! - m[p * n + p]!) / (2 * apq);
  const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  for (let k = 0; k < n; k++) {
    const [x, y] = [m[p * n + k]!, m[q * n + k]!];
    m[p * n + k] = c * x - s * y;
    m[q * n + k] = s * x + c * y;
    const [v, w] = [vectors[p * n + k]!, vectors[q * n + k]!];
    vectors[p * n + k] = c * v - s * w;
    vectors[q * n + k] = s * v + c * w;
  }
  for (let k = 0; k < n; k++) {
    const [x, y] = [m[k * n + p]!, m[k * n + q]!];
    m[k * n + p] = c * x - s * y;
    m[k * n + q] = s * x + c * y;
  }
}
