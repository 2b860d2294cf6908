/**
 * @file Eigenvalues and eigenvectors of a symmetric matrix in f64, row-major [n][n]: Householder reflections make it tridiagonal, and
 * shifted QL steps make that diagonal (Golub and Van Loan, Matrix Computations, 8.3). About 6·n³ multiplications.
 */
import { TurboQuantError } from "../errors.ts";

/** QL steps that an eigenvalue may take; two are usual. */
const MAX_STEPS = 60;

/**
 * returns: values [n], unordered; vectors row-major [n][n], row i belongs to values[i]
 * @throws TurboQuantError invalid_argument — a value that is not finite
 */
export function eigenSymmetric(a: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } {
  const m = a.slice();
  const values = new Float64Array(n);
  const beside = new Float64Array(n);
  const vectors = tridiagonalize(m, n, values, beside);
  diagonalize(values, beside, vectors, n);
  return { values, vectors };
}

/**
 * Leaves the diagonal in `diagonal`, what is beside it in `beside` (n − 1 values), and the reflections in the upper triangle of m.
 * returns: Z [n][n] with a = Zᵀ·T·Z
 */
function tridiagonalize(m: Float64Array, n: number, diagonal: Float64Array, beside: Float64Array): Float64Array {
  const factors = new Float64Array(n);
  const product = new Float64Array(n);
  for (let k = 0; k < n - 2; k++) {
    const row = k * n;
    const first = m[row + k + 1]!;
    let rest = 0;
    for (let j = k + 2; j < n; j++) rest += m[row + j]! ** 2;
    if (rest === 0) {
      beside[k] = first;
      continue;
    }
    const length = Math.sqrt(first * first + rest);
    const end = first > 0 ? -length : length;
    beside[k] = end;
    // The reflection I − factor·v·vᵀ takes the row to (end, 0, …); v stays in the row.
    m[row + k + 1] = first - end;
    const factor = 2 / (rest + (first - end) ** 2);
    factors[k] = factor;
    let along = 0;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += m[i * n + j]! * m[row + j]!;
      product[i] = factor * sum;
      along += product[i]! * m[row + i]!;
    }
    const half = (factor * along) / 2;
    for (let i = k + 1; i < n; i++) product[i] = product[i]! - half * m[row + i]!;
    for (let i = k + 1; i < n; i++) {
      const [v, w] = [m[row + i]!, product[i]!];
      for (let j = k + 1; j < n; j++) m[i * n + j] = m[i * n + j]! - v * product[j]! - w * m[row + j]!;
    }
  }
  if (n > 1) beside[n - 2] = m[(n - 1) * n - 1]!;
  for (let i = 0; i < n; i++) diagonal[i] = m[i * (n + 1)]!;
  const z = new Float64Array(n * n);
  for (let i = 0; i < n; i++) z[i * (n + 1)] = 1;
  for (let k = n - 3; k >= 0; k--) {
    const [row, factor] = [k * n, factors[k]!];
    if (factor === 0) continue;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += z[i * n + j]! * m[row + j]!;
      const share = factor * sum;
      for (let j = k + 1; j < n; j++) z[i * n + j] = z[i * n + j]! - share * m[row + j]!;
    }
  }
  return z;
}

/** QL steps with Wilkinson's shift; the plane rotations go into the rows of `vectors`. */
function diagonalize(diagonal: Float64Array, beside: Float64Array, vectors: Float64Array, n: number): void {
  for (let first = 0; first < n; first++) {
    for (let step = 0; ; step++) {
      const last = blockEnd(diagonal, beside, first, n);
      if (last === first) break;
      if (step === MAX_STEPS) {
        throw new TurboQuantError("invalid_argument", "eigenvalues: expected a matrix of finite values, got others");
      }
      stepQl(diagonal, beside, vectors, n, first, last);
    }
  }
}

/** The end of the block from `first` on, behind which the matrix falls apart to the precision of f64. */
function blockEnd(diagonal: Float64Array, beside: Float64Array, first: number, n: number): number {
  for (let at = first; at < n - 1; at++) {
    const size = Math.abs(diagonal[at]!) + Math.abs(diagonal[at + 1]!);
    if (Math.abs(beside[at]!) <= Number.EPSILON * size) return at;
  }
  return n - 1;
}

function stepQl(
  diagonal: Float64Array,
  beside: Float64Array,
  vectors: Float64Array,
  n: number,
  first: number,
  last: number,
): void {
  const half = (diagonal[first + 1]! - diagonal[first]!) / (2 * beside[first]!);
  const root = Math.sqrt(half * half + 1);
  let g = diagonal[last]! - diagonal[first]! + beside[first]! / (half + (half < 0 ? -root : root));
  let [sine, cosine, taken] = [1, 1, 0];
  for (let i = last - 1; i >= first; i--) {
    const f = sine * beside[i]!;
    const b = cosine * beside[i]!;
    const length = Math.sqrt(f * f + g * g);
    beside[i + 1] = length;
    if (length === 0) {
      // The rotations so far have split the block.
      diagonal[i + 1] = diagonal[i + 1]! - taken;
      beside[last] = 0;
      return;
    }
    sine = f / length;
    cosine = g / length;
    g = diagonal[i + 1]! - taken;
    const r = (diagonal[i]! - g) * sine + 2 * cosine * b;
    taken = sine * r;
    diagonal[i + 1] = g + taken;
    g = cosine * r - b;
    rotateRows(vectors, i * n, n, cosine, sine);
  }
  diagonal[first] = diagonal[first]! - taken;
  beside[first] = g;
  beside[last] = 0;
}

/** Turns the row at `at` and the one behind it. */
function rotateRows(rows: Float64Array, at: number, n: number, cosine: number, sine: number): void {
  for (let k = at, l = at + n; k < at + n; k++, l++) {
    const [x, y] = [rows[k]!, rows[l]!];
    rows[l] = sine * x + cosine * y;
    rows[k] = cosine * x - sine * y;
  }
}
