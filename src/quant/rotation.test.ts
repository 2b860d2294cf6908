import { describe, expect, it } from "vitest";
import { CounterRng } from "../math/rng.ts";
import { createRotation, haarMatrix, powerOfTwoBelow } from "./rotation.ts";

/** Every multiple of 8 that a page may have. */
const HEAD_DIMS = Array.from({ length: 32 }, (_, i) => 8 * (i + 1));

function gaussianVector(n: number, seed: number): Float32Array {
  const rng = new CounterRng(seed, 1);
  return Float32Array.from({ length: n }, (_, i) => rng.gaussian(i));
}

function dot(a: Float32Array | Float64Array, b: Float32Array | Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Images of the unit vectors: row i is R·e_i. */
function images(kind: "hadamard" | "qr", d: number, seed: number): Float32Array[] {
  const rotation = createRotation(kind, d, seed);
  return Array.from({ length: d }, (_, i) => {
    const e = new Float32Array(d);
    e[i] = 1;
    rotation.apply(e);
    return e;
  });
}

describe("createRotation", () => {
  for (const kind of ["hadamard", "qr"] as const) {
    it(`${kind}: orthogonal, and undone by invert, for every head_dim from 8 to 256`, () => {
      for (const d of kind === "hadamard" ? HEAD_DIMS : [8, 24, 64, 80, 128, 200, 256]) {
        const rows = images(kind, d, d);
        let worst = 0;
        for (let i = 0; i < d; i++) {
          for (let j = 0; j <= i; j++) worst = Math.max(worst, Math.abs(dot(rows[i]!, rows[j]!) - (i === j ? 1 : 0)));
        }
        // f32 entries of at most 1, d of them: the error of a product of two rows stays below d · 2^-24.
        expect(worst, `d=${d}`).toBeLessThan(d * 2 ** -24);

        const x = gaussianVector(d, 3);
        const y = x.slice();
        createRotation(kind, d, d).apply(y);
        expect(Math.sqrt(dot(y, y) / dot(x, x))).toBeCloseTo(1, 5);
        createRotation(kind, d, d).invert(y);
        // 16 rounded steps on values of about 1.
        expect(Math.max(...y.map((v, i) => Math.abs(v - x[i]!)))).toBeLessThan(4e-6);
      }
    });

    it(`${kind}: spreads every unit vector so that no coordinate stays large`, () => {
      for (const d of [64, 80, 96, 128, 256]) {
        for (const row of images(kind, d, 1)) {
          // Two Hadamard rounds of power-of-two blocks leave at most 1/√p in a coordinate, up to a few meeting terms;
          // a Haar row has about √(2 ln d / d), 0.36 at d = 64 and 0.21 at 256.
          expect(Math.max(...row.map(Math.abs))).toBeLessThan(kind === "qr" ? 0.75 : 0.5);
        }
      }
    });
  }

  it("hadamard with a power of two is one round of signs and H/√d", () => {
    const d = 64;
    const rotation = createRotation("hadamard", d, 11);
    expect(rotation.signs.length).toBe(1);
    const rows = images("hadamard", d, 11);
    const size = Math.fround(1 / Math.sqrt(d));
    for (const row of rows) expect(row.every((v) => Math.abs(v) === size)).toBe(true);
    // e_j comes out as sign_j times column j; entry 0 of every column of H is 1.
    expect(rows.map((row) => Math.sign(row[0]!))).toEqual([...rotation.signs[0]!]);
  });

  it("hadamard otherwise covers all coordinates in two overlapping rounds of the largest power of two", () => {
    expect([8, 24, 80, 96, 128, 200].map(powerOfTwoBelow)).toEqual([8, 16, 64, 64, 128, 128]);
    const rotation = createRotation("hadamard", 80, 0);
    expect(rotation.signs.map((s) => s.length)).toEqual([64, 64]);
    expect(rotation.signs[0]).not.toEqual(rotation.signs[1]);
  });

  it("depends on kind, head_dim and seed alone, and works at an offset", () => {
    expect(createRotation("qr", 64, 5)).toBe(createRotation("qr", 64, 5));
    const a = gaussianVector(64, 1);
    const b = a.slice();
    createRotation("hadamard", 64, 1).apply(a);
    createRotation("hadamard", 64, 2).apply(b);
    expect(a).not.toEqual(b);
    for (const kind of ["hadamard", "qr"] as const) {
      const wide = gaussianVector(64, 1);
      const alone = wide.slice(16, 40);
      createRotation(kind, 24, 1).apply(alone);
      const before = wide.slice();
      createRotation(kind, 24, 1).apply(wide, 16);
      expect(wide.slice(16, 40)).toEqual(alone);
      expect([...wide.slice(0, 16), ...wide.slice(40)]).toEqual([...before.slice(0, 16), ...before.slice(40)]);
    }
    expect(() => createRotation("none", 64, 0)).toThrowError(expect.objectContaining({ code: "invalid_argument" }));
  });
});

describe("haarMatrix", () => {
  it("is orthogonal to machine precision", () => {
    const d = 256;
    const m = haarMatrix(d, 0);
    let worst = 0;
    for (let i = 0; i < d; i++) {
      for (let j = 0; j <= i; j++) {
        const product = dot(m.subarray(i * d, (i + 1) * d), m.subarray(j * d, (j + 1) * d));
        worst = Math.max(worst, Math.abs(product - (i === j ? 1 : 0)));
      }
    }
    expect(worst).toBeLessThan(1e-14);
  });

  it("has no preferred sign: traces of 400 matrices of d = 8 average 0", () => {
    let sum = 0;
    const n = 400;
    for (let seed = 0; seed < n; seed++) {
      const m = haarMatrix(8, seed);
      for (let i = 0; i < 8; i++) sum += m[i * 9]!;
    }
    // The trace of a Haar matrix has mean 0 and variance 1 (Diaconis and Shahshahani 1994).
    expect(Math.abs(sum / n)).toBeLessThan(5 / Math.sqrt(n));
  });
});
