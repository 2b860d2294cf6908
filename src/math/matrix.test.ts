import { describe, expect, it } from "vitest";
import { cholesky, eigenSymmetric, invert, multiply, transpose } from "./matrix.ts";
import { CounterRng } from "./rng.ts";

const n = 24;
const rng = new CounterRng(3, 1);
const random = Float64Array.from({ length: n * n }, (_, i) => rng.gaussian(i));
const definite = multiply(random, transpose(random, n), n);
const identity = Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
const farthest = (a: Float64Array, b: Float64Array): number =>
  a.reduce((m, x, i) => Math.max(m, Math.abs(x - b[i]!)), 0);

describe("matrix", () => {
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

  it("eigenvectors are orthonormal and make the matrix diagonal", () => {
    const { values, vectors } = eigenSymmetric(definite, n);
    expect(farthest(multiply(vectors, transpose(vectors, n), n), identity)).toBeLessThan(1e-9);
    const diagonal = multiply(multiply(vectors, definite, n), transpose(vectors, n), n);
    const expected = identity.map((one, at) => one * values[at % n]!);
    expect(farthest(diagonal, expected)).toBeLessThan(1e-8);
  });

  it("refuses what is singular or not definite", () => {
    expect(() => invert(new Float64Array(9), 3)).toThrow("singular");
    expect(() => cholesky(Float64Array.from([1, 2, 2, 1]), 2)).toThrow("singular");
  });
});
