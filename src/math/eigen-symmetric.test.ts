import { describe, expect, it } from "vitest";
import { eigenSymmetric } from "./eigen-symmetric.ts";
import { multiply, transpose } from "./matrix.ts";
import { CounterRng } from "./rng.ts";

const rng = new CounterRng(3, 1);
const farthest = (a: Float64Array, b: Float64Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
const diagonalOf = (values: ArrayLike<number>): Float64Array => {
  const n = values.length;
  return Float64Array.from({ length: n * n }, (_, at) => (at % (n + 1) === 0 ? values[at % n]! : 0));
};

function check(a: Float64Array, n: number): Float64Array {
  const { values, vectors } = eigenSymmetric(a, n);
  const size = Math.max(1, ...a.map(Math.abs));
  expect(farthest(multiply(vectors, transpose(vectors, n), n), diagonalOf(new Float64Array(n).fill(1)))).toBeLessThan(
    1e-12 * n,
  );
  const diagonal = multiply(multiply(vectors, a, n), transpose(vectors, n), n);
  expect(farthest(diagonal, diagonalOf(values)) / size).toBeLessThan(1e-12 * n);
  return values.toSorted();
}

describe("eigenSymmetric", () => {
  it("eigenvectors are orthonormal and make the matrix diagonal", () => {
    for (const n of [1, 2, 3, 4, 7, 24, 64]) {
      const random = Float64Array.from({ length: n * n }, (_, i) => rng.gaussian(i));
      check(multiply(random, transpose(random, n), n), n);
    }
  });

  it("knows what is diagonal, has equal values, or falls into blocks", () => {
    expect([...check(diagonalOf([3, -1, 2]), 3)]).toEqual([-1, 2, 3]);
    expect([...check(new Float64Array(9), 3)]).toEqual([0, 0, 0]);
    // Ones everywhere: n once and 0 for the rest.
    const values = check(new Float64Array(36).fill(1), 6);
    expect(values[5]).toBeCloseTo(6, 12);
    expect(Math.abs(values[0]!)).toBeLessThan(1e-12);
    check(Float64Array.from([1, 2, 0, 0, 2, 1, 0, 0, 0, 0, 5, 1, 0, 0, 1, 5]), 4);
  });

  it("keeps small eigenvalues beside large ones", () => {
    const random = Float64Array.from({ length: 64 }, (_, i) => rng.gaussian(1000 + i));
    const { vectors } = eigenSymmetric(multiply(random, transpose(random, 8), 8), 8);
    const exact = Array.from({ length: 8 }, (_, i) => 10 ** -i);
    const values = check(multiply(multiply(transpose(vectors, 8), diagonalOf(exact), 8), vectors, 8), 8);
    for (const [i, value] of exact.toReversed().entries()) {
      expect(Math.abs(values[i]! / value - 1)).toBeLessThan(1e-7);
    }
  });

  it("refuses what is not finite", () => {
    expect(() => eigenSymmetric(new Float64Array(16).fill(Number.NaN), 4)).toThrow("finite");
  });
});
