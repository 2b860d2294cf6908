/** @file The append kernel against the row codec: the same bytes for every type, head_dim, rule and kind of input. */
import { beforeAll, describe, expect, it } from "vitest";
import { prepared, randomCalibration } from "../../../test/support/calibration.ts";
import { sideFormat } from "../../../test/support/side-format.ts";
import { AppendFixture, type AppendShape } from "../../../test/support/wasm-append.ts";
import { toFloat16Bits } from "../../math/float16.ts";
import { CounterRng } from "../../math/rng.ts";
import { nameOf } from "../../quant/codecs/registry.ts";
import type { Bits, LayerKvFormat, ScaleRule, SideFormat } from "../../quant/kv-format.ts";
import { PAGE_TOKENS, RESIDUAL_PAGE_TOKENS } from "../../quant/page-layout.ts";
import { headCalibrations, RowCodec } from "../../quant/row-codec.ts";
import { clampToFloat16 } from "../../quant/sanitize.ts";
import { compileKernels } from "./load-kernels.ts";

let module: WebAssembly.Module;
beforeAll(async () => {
  module = await compileKernels("strict", true);
});

interface Written {
  readonly page: Uint8Array;
  readonly residual: Uint16Array;
  readonly queries: Float32Array;
}

function appendByKernel(shape: AppendShape, values: Float32Array): Written {
  const fixture = new AppendFixture(module, shape);
  fixture.setInputs(values);
  fixture.run();
  return { page: fixture.page(), residual: fixture.residual(), queries: fixture.queries() };
}

/** values: q | k | v of each row */
function appendByCodec(shape: AppendShape, values: Float32Array): Written {
  const { format, headDim, numKvHeads, group, rows, calibration } = shape;
  const { layout } = new AppendFixture(module, shape);
  const heads = numKvHeads * group;
  const width = (heads + 2 * numKvHeads) * headDim;
  const page = new Uint8Array(layout.numBytes);
  const residual = new Uint16Array(2 * numKvHeads * RESIDUAL_PAGE_TOKENS * headDim);
  const queries = new Float32Array(rows * heads * headDim);
  for (const [side, which] of (["k", "v"] as const).entries()) {
    const codec = new RowCodec(format[which], format, headDim);
    const constants = headCalibrations(prepared(calibration, format, headDim), which);
    for (let row = 0; row < rows; row++) {
      for (let head = 0; head < numKvHeads; head++) {
        const at = row * width + (heads + side * numKvHeads + head) * headDim;
        const x = values.slice(at, at + headDim);
        const own = constants(head);
        codec.prepare(x, own);
        codec.write(x, page, layout, which, head, row, own?.feedback ?? null);
        if (row >= RESIDUAL_PAGE_TOKENS) continue;
        const halves = Array.from(x, (value) => toFloat16Bits(clampToFloat16(value)));
        residual.set(halves, ((side * numKvHeads + head) * RESIDUAL_PAGE_TOKENS + row) * headDim);
      }
      for (let h = 0; which === "k" && h < heads; h++) {
        const q = values.slice(row * width + h * headDim, row * width + (h + 1) * headDim);
        codec.prepareQuery(q, constants(Math.floor(h / group)));
        queries.set(q, (row * heads + h) * headDim);
      }
    }
  }
  return { page, residual, queries };
}

/** Ordinary rows among the awkward: tiny, huge, constant, one spike, all zero, beyond f16; NaN and infinities in V. */
function someValues(shape: AppendShape, seed: number): Float32Array {
  const { headDim, numKvHeads, group, rows } = shape;
  const rng = new CounterRng(seed, headDim);
  const parts = (group + 2) * numKvHeads;
  const values = Float32Array.from({ length: rows * parts * headDim }, (_, i) => rng.gaussian(i));
  for (let row = 0; row < rows; row++) {
    // Queries are ordinary: they are multiplied and not stored.
    for (let part = group * numKvHeads; part < parts; part++) {
      const x = values.subarray((row * parts + part) * headDim, (row * parts + part + 1) * headDim);
      const kind = (row + 3 * (part - group * numKvHeads) + seed) % 16;
      if (kind === 0) x.fill(0);
      if (kind === 1) x.fill(0.25);
      if (kind === 2) for (let i = 0; i < headDim; i++) x[i] = i === row % headDim ? 60 : 0;
      if (kind === 3) for (let i = 0; i < headDim; i++) x[i] = x[i]! * 1e-20;
      if (kind === 4) for (let i = 0; i < headDim; i++) x[i] = x[i]! * 1e4;
      if (kind === 5) for (let i = 0; i < headDim; i++) x[i] = x[i]! * 1e30;
      if (kind === 6) for (let i = 0; i < headDim; i++) x[i] = Math.sign(x[i]!);
      // RoPE would spread these over a key's pair.
      if (kind === 7 && part >= (group + 1) * numKvHeads) {
        x.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0]);
      }
    }
  }
  return values;
}

function sideOf(type: string, scale: ScaleRule, search: boolean, trellis = false): SideFormat {
  return sideFormat(type, { scale, search, trellis });
}

const PLAIN = { numKvHeads: 2, group: 1, rows: PAGE_TOKENS, calibration: null };

function expectSameBytes(shape: AppendShape, seed: number): void {
  const { format, headDim, group, rows } = shape;
  const values = someValues(shape, seed);
  const [actual, expected] = [appendByKernel(shape, values), appendByCodec(shape, values)];
  const name = `${nameOf(format.k)}/${nameOf(format.v)}, head_dim ${headDim}, group ${group}, ${rows} rows`;
  for (const part of ["page", "residual", "queries"] as const) {
    const [own, other] = [actual[part], expected[part]];
    const wrong = own.findIndex((value, i) => value !== other[i]);
    expect(own.length).toBe(other.length);
    expect(wrong, `${name}: first of ${part} that differs`).toBe(-1);
  }
}

const BASE = { sinks: 0, window: 0, rotation: "hadamard", seed: 0 } as const;

describe("append kernel", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8] as const)("%d bits", (bits) => {
    const type = `tq${bits}`;
    for (const [i, headDim] of [8, 64, 72, 128, 256].entries()) {
      const k = sideOf(type, "norm-preserving", true);
      const v = sideOf(type, i % 2 ? "least-squares" : "norm", i % 2 === 0);
      const rotation = i === 2 ? "qr" : i === 3 ? "none" : "hadamard";
      expectSameBytes({ ...PLAIN, format: { ...BASE, k, v, rotation }, headDim }, bits);
    }
  });

  it.each<[string, string]>([
    ["f32", "f16"],
    ["q8_0", "q4_0r"],
    ["q4_0r", "q8_0"],
    ["f16", "tq4"],
  ])("%s and %s", (kType, vType) => {
    for (const headDim of [8, 40, 128]) {
      const format = { ...BASE, k: sideOf(kType, "norm", false), v: sideOf(vType, "least-squares", true) };
      expectSameBytes({ ...PLAIN, format, headDim }, 9);
    }
  });
});

describe("append kernel, in a trellis", () => {
  it.each([8, 16, 24, 40, 64, 72, 128, 256])("head_dim %d", (headDim) => {
    for (const [n, scale] of (["norm", "norm-preserving", "least-squares"] as const).entries()) {
      const k = sideOf("tq2", scale, n === 1, true);
      const v = sideOf(n === 2 ? "tq3" : "tq2", "least-squares", true, n < 2);
      const format = { ...BASE, k, v };
      expectSameBytes({ ...PLAIN, format, headDim }, headDim + n);
    }
  });
});

describe("append kernel, calibrated", () => {
  const calibrations = new Map<number, AppendShape["calibration"]>();
  const calibrationOf = (headDim: number): AppendShape["calibration"] => {
    if (!calibrations.has(headDim)) calibrations.set(headDim, randomCalibration(2, headDim));
    return calibrations.get(headDim)!;
  };
  /** A side that a calibration changes; the rules and the search go round. */
  const shaped = (bits: Bits, n: number, transform: boolean, feedback: boolean, trellis = false): SideFormat =>
    sideFormat(`tq${bits}`, {
      scale: (["norm-preserving", "least-squares", "norm"] as const)[n % 3]!,
      search: n % 4 !== 3,
      transform,
      feedback,
      trellis,
    });

  // Rows are taken a few at a time where there are several; a number of them that is no multiple has to be right as well.
  it.each([1, 2, 3, 4, 5, 7, 8, 33])("%d rows", (rows) => {
    for (const [n, headDim] of [8, 16, 24, 40, 64, 72, 128, 256].entries()) {
      const format: LayerKvFormat = { ...BASE, k: shaped(4, n, true, true), v: shaped(4, n + 1, true, true) };
      const shape = { format, headDim, numKvHeads: 2, group: 1 + ((n + rows) % 8), rows };
      expectSameBytes({ ...shape, calibration: calibrationOf(headDim) }, rows + n);
    }
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8] as const)("%d bits, transform and feedback each on and off", (bits) => {
    for (const [n, headDim] of [8, 40, 64, 128].entries()) {
      for (const [m, [transform, feedback]] of [
        [true, true],
        [true, false],
        [false, true],
      ].entries()) {
        const [k, v] = [shaped(bits, n + m, transform!, feedback!), shaped(bits, n + m + 1, transform!, !feedback)];
        const rotation = (["hadamard", "qr", "none"] as const)[n % 3]!;
        const shape = { format: { ...BASE, k, v, rotation }, headDim, numKvHeads: 2, group: 1 + n, rows: 20 };
        expectSameBytes({ ...shape, calibration: calibrationOf(headDim) }, bits + n);
      }
    }
  });

  it.each([1, 2, 4, 7])("in a trellis, %d rows, transform and feedback each on and off", (rows) => {
    for (const [n, headDim] of [8, 16, 24, 40, 64, 72, 128, 256].entries()) {
      for (const [m, [transform, feedback]] of [
        [true, true],
        [true, false],
        [false, true],
      ].entries()) {
        // Beside it sides with feedback of their own, and the same on both sides.
        const other = (n + m) % 3 === 0 ? 4 : 2;
        const k = shaped(2, n + m, transform!, feedback!, true);
        const v = shaped(other, n + m + 1, transform!, !feedback || n % 2 === 0, other === 2 && m < 2);
        const format = { ...BASE, k, v };
        const shape = { format, headDim, numKvHeads: 2, group: 1 + n, rows };
        expectSameBytes({ ...shape, calibration: calibrationOf(headDim) }, rows + n + m);
      }
    }
  });

  // A scale is rounded to f16, which hides a last bit. So here the terms of a sum are ±2²⁴ in turn beside u = 1: (1 + 2²⁴) − 2²⁴
  // is 0 in f32, (1 − 2²⁴) + 2²⁴ is 1, and sums in another order are other scales.
  it.each([1, 3, 4, 6])("sums in the order of the coordinates, %d rows", (rows) => {
    for (const [n, headDim] of [8, 40, 64].entries()) {
      const calibration = { ...randomCalibration(2, headDim), keyMean: new Float32Array(2 * headDim) };
      calibration.balance.fill(1);
      const [k, v] = [shaped(4, 0, false, true), shaped(4, n % 2, false, true)];
      const format: LayerKvFormat = { ...BASE, k, v, rotation: "none" };
      for (const side of ["k", "v"] as const) {
        const feedback = prepared(calibration, format, headDim).transforms[side].feedback!;
        for (let at = 0; at < feedback.length; at++) {
          const [j, i] = [Math.floor(at / headDim) % (headDim + 1), at % headDim];
          if (j === headDim) feedback[at] = 1 - (i % 2);
          else if (i > j) feedback[at] = j % 2 ? -(2 ** 24) : 2 ** 24;
        }
      }
      const shape = { format, headDim, numKvHeads: 2, group: 1, rows, calibration };
      const values = new Float32Array(rows * 6 * headDim).map((_, at) => 2 ** (8 + (Math.floor(at / headDim) % 7)));
      const [actual, expected] = [appendByKernel(shape, values), appendByCodec(shape, values)];
      expect(actual.page, `head_dim ${headDim}`).toEqual(expected.page);
    }
  });

  it("a float side beside a shaped one", () => {
    const format: LayerKvFormat = { ...BASE, k: sideOf("f16", "norm", false), v: shaped(3, 1, true, true) };
    const shape = { format, headDim: 64, numKvHeads: 2, group: 2, rows: 9 };
    expectSameBytes({ ...shape, calibration: calibrationOf(64) }, 4);
  });
});
