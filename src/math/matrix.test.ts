import { describe, expect, it } from "vitest";
import { cholesky, invert, multiply, transpose } from "./matrix.ts";
import { CounterRng } from "./rng.ts";

const n = 24;
const rng = new CounterRng(3, 1);
const random = Float64Array.from({ length: n * n }, (_, i) => rng.gaussian(i));
const definite = multiply(random, transpose(random, n), n);
const identityOf = (size: number): Float64Array =>
  Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
const identity = identityOf(n);
const farthest = (a: Float64Array, b: Float64Array): number =>
  a.reduce((m, x, i) => Math.max(m, Math.abs(x - b[i]!)), 0);

/** [a | I] brought to [I | a⁻¹], a whole row at a time. */
function invertPlainly(a: Float64Array, n: number): Float64Array {
  const rows = Array.from({ length: n }, (_, i) => [
    ...a.subarray(i * n, (i + 1) * n),
    ...identityOf(n).subarray(i * n, (i + 1) * n),
  ]);
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let i = column; i < n; i++) if (Math.abs(rows[i]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = i;
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    const own = rows[column]!.map((x) => x / rows[column]![column]!);
    rows.forEach((row, i) => {
      rows[i] = i === column ? own : row.map((x, k) => x - row[column]! * own[k]!);
    });
  }
  return Float64Array.from(rows.flatMap((row) => row.slice(n)));
}

describe("matrix", () => {
  // Stored bytes depend on these sums to the last bit, so the ways around memory traffic may not change their order.
  it("products and inverses are those of the plain loops, to the bit", () => {
    for (const size of [1, 2, 3, 7, 8, 21, 24]) {
      const [a, b] = [random.slice(0, size * size), definite.slice(0, size * size)];
      const product = Float64Array.from({ length: size * size }, (_, at) => {
        let sum = 0;
        for (let k = 0; k < size; k++) sum += a[Math.floor(at / size) * size + k]! * b[k * size + (at % size)]!;
        return sum;
      });
      expect(multiply(a, b, size)).toEqual(product);
      expect(invert(a, size)).toEqual(invertPlainly(a, size));
    }
  });

  it("an inverse times the matrix is the identity, also where a pivot is zero", () => {
    expect(farthest(multiply(invert(random, n), random, n), identity)).toBeLessThan(1e-9);
    const swapped = Float64Array.from([0, 1, 1, 0]);
    expect(invert(swapped, 2)).toEqual(swapped);
  });

  it("a Cholesky factor is lower triangular and squares to the matrix", () => {
    const c = cholesky(definite, n);
    expect(c.every((x, at) => at % n <= Math.floor(at / n) || x === 0)).toBe(true);
    expect(farthest(multiply(c, transpose(c, n), n), definite)).toBeLessThan(1e-9);
  });

  it("refuses what is singular or not definite", () => {
    expect(() => invert(new Float64Array(9), 3)).toThrow("singular");
    expect(() => cholesky(Float64Array.from([1, 2, 2, 1]), 2)).toThrow("singular");
  });
});
