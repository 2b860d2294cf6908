/** @file `loadWeight` and `linear` of the backend against f64 on the weights as stored, over the edges of the kernels' tiles. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tolerance } from "../../../test/tolerances.ts";
import { fromBfloat16Bits, fromFloat16Bits, toFloat16Bits } from "../../math/float16.ts";
import { CounterRng } from "../../math/rng.ts";
import "../../node/install.ts";
import {
  download,
  gaussians,
  matmul,
  partOf,
  relativeError,
  stored,
  upload,
  WEIGHT_TYPES,
} from "../../../test/support/wasm-backend.ts";
import { wasmSources, weightFormat } from "../../weights/registry.ts";
import { isPlain, matrixBytes } from "../../weights/weight-format.ts";
import { keptValues, rowsAs, stackParts, storedRows } from "../../weights/weight-part.ts";
import type { Ops, WeightType } from "../ops.ts";
import { StackedWeight } from "../stacked-weight.ts";
import { createWasmBackend } from "./backend.ts";

/** [outputs, columns]: fewer than a panel, remainders of panels, pairs and records (8, 32), and whole ones. */
const SHAPES: readonly (readonly [number, number])[] = [
  [2, 4],
  [3, 33],
  [5, 31],
  [6, 8],
  [13, 40],
  [64, 96],
  [130, 260],
];
const ROWS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 33];

let backends: readonly Ops[];
beforeAll(async () => {
  backends = await Promise.all([1, 2, 3].map((threads) => createWasmBackend({ threads })));
});
afterAll(async () => {
  await Promise.all(backends.map((ops) => ops.dispose()));
});

async function linear(
  ops: Ops,
  type: WeightType,
  x: Float32Array,
  w: Float32Array,
  cols: number,
  bias: Float32Array | null = null,
  residual: Float32Array | null = null,
): Promise<Float32Array> {
  const n = w.length / cols;
  const rows = x.length / cols;
  const weight = ops.loadWeight([partOf(w, cols)], type);
  const out = residual ? upload(ops, residual) : ops.alloc(rows * n);
  ops.linear(upload(ops, x), weight, bias && ops.loadWeight([partOf(bias, 1)], "f32"), rows, out, residual !== null);
  return download(ops, out);
}

describe.each(WEIGHT_TYPES)("linear, %s", (type) => {
  it.each(SHAPES)("%d outputs of %d columns agree with f64 for any number of rows", async (n, cols) => {
    const ops = backends[1]!;
    const w = gaussians(1, n * cols);
    const kept = await stored(ops, ops.loadWeight([partOf(w, cols)], type));
    for (const rows of ROWS) {
      const x = gaussians(rows, rows * cols);
      const error = relativeError(await linear(ops, type, x, w, cols), matmul(x, kept, cols));
      expect(error, `${rows} rows`).toBeLessThan(
        (isPlain(weightFormat(type)) ? tolerance.linearFloat : tolerance.linearQ8).max,
      );
    }
  });

  it("adds a bias and accumulates into the output", async () => {
    const [n, cols, rows] = [7, 24, 5];
    const [x, w, bias, residual] = [
      gaussians(1, rows * cols),
      gaussians(2, n * cols),
      gaussians(3, n),
      gaussians(4, rows * n),
    ];
    for (const ops of backends) {
      const plain = await linear(ops, type, x, w, cols);
      const actual = await linear(ops, type, x, w, cols, bias, residual);
      const expected = plain.map((v, i) => Math.fround(Math.fround(v + bias[i % n]!) + residual[i]!));
      expect(actual).toEqual(expected);
    }
  });

  it("gives the same bits on any number of threads and for any cut of the rows", async () => {
    // Large enough to be shared between threads, in blocks that end inside a panel's pair.
    const [n, cols, rows] = [318, 520, 11];
    const [x, w] = [gaussians(1, rows * cols), gaussians(2, n * cols)];
    const expected = await linear(backends[0]!, type, x, w, cols);
    for (const ops of backends) {
      expect(await linear(ops, type, x, w, cols)).toEqual(expected);
      for (const cut of [1, 2, 3, 4, 6]) {
        const head = await linear(ops, type, x.slice(0, cut * cols), w, cols);
        expect(head, `first ${cut} rows alone`).toEqual(expected.slice(0, cut * n));
      }
    }
  });

  it("gives the same bits where rows are too long for a block of them to be unpacked", async () => {
    const [n, cols, rows] = [3, 60_000, 5];
    const [x, w] = [gaussians(1, rows * cols), gaussians(2, n * cols)];
    const all = await linear(backends[0]!, type, x, w, cols);
    expect(await linear(backends[0]!, type, x.slice(0, cols), w, cols)).toEqual(all.slice(0, n));
  });

  it("survives rows of zeros, of large and of small values", async () => {
    const [n, cols] = [5, 64];
    const w = gaussians(2, n * cols);
    const x = new Float32Array(3 * cols);
    x.set(gaussians(3, cols, 60000), cols);
    x.set(gaussians(4, cols, 1e-6), 2 * cols);
    const kept = await stored(backends[0]!, backends[0]!.loadWeight([partOf(w, cols)], type));
    const actual = await linear(backends[0]!, type, x, w, cols);
    const expected = matmul(x, kept, cols);
    expect([...actual.subarray(0, n)]).toEqual([0, 0, 0, 0, 0]);
    for (const row of [1, 2]) {
      const error = relativeError(actual.subarray(row * n, (row + 1) * n), expected.subarray(row * n, (row + 1) * n));
      expect(error).toBeLessThan(tolerance.linearQ8.max);
    }
  });

  it("does not hide a NaN", async () => {
    const x = gaussians(1, 2 * 32);
    x[3] = Number.NaN;
    const actual = await linear(backends[0]!, type, x, gaussians(2, 5 * 32), 32);
    expect(actual.subarray(0, 5).every(Number.isNaN)).toBe(true);
    expect(actual.subarray(5).some(Number.isNaN)).toBe(false);
  });
});

describe("a stack of weights in several formats", () => {
  it("gives the outputs of each, to the bit, beside one another", async () => {
    const cols = 45;
    const [x, w, bias, residual] = [
      gaussians(1, 5 * cols),
      gaussians(2, 21 * cols),
      gaussians(3, 21),
      gaussians(4, 5 * 21),
    ];
    // Runs that end inside a panel.
    const ends = [0, 8, 13, 21];
    const types = ["q4", "q8", "bf16"] as const;
    for (const ops of backends) {
      const runs = types.map((type, i) =>
        ops.loadWeight([partOf(w.slice(ends[i]! * cols, ends[i + 1]! * cols), cols)], type),
      );
      const stack = new StackedWeight(runs);
      for (const rows of [1, 5]) {
        const from = upload(ops, x);
        const out = upload(ops, residual);
        ops.linear(from, stack, ops.loadWeight([partOf(bias, 1)], "f32"), rows, out, true);
        const actual = await download(ops, out);
        const expected = residual.slice();
        for (const [i, type] of types.entries()) {
          const [first, end] = [ends[i]!, ends[i + 1]!];
          const own = await linear(ops, type, x.slice(0, rows * cols), w.slice(first * cols, end * cols), cols);
          for (let r = 0; r < rows; r++) {
            for (let o = first; o < end; o++) {
              const sum = Math.fround(own[r * (end - first) + o - first]! + bias[o]!);
              expected[r * 21 + o] = sum + residual[r * 21 + o]!;
            }
          }
        }
        expect(actual).toEqual(expected);
      }
      expect(stack).toMatchObject({ rows: 21, cols, numBytes: runs.reduce((sum, run) => sum + run.numBytes, 0) });
    }
  });
});

describe("loadWeight", () => {
  const cols = 45;
  const w = gaussians(9, 10 * cols);
  /** The same matrix in two parts, cut inside a panel. */
  const parts = [partOf(w.slice(0, 7 * cols), cols), partOf(w.slice(7 * cols), cols)];

  it("keeps f32 exactly and rounds to nearest even for the 16-bit types", async () => {
    const ops = backends[1]!;
    const load = (type: WeightType) => stored(ops, ops.loadWeight(parts, type));
    expect(await load("f32")).toEqual(w);
    expect(await load("f16")).toEqual(w.map((v) => fromFloat16Bits(toFloat16Bits(v))));
    const bits = new Uint32Array(w.buffer);
    const bf16 = Float32Array.from(bits, (b) => fromBfloat16Bits(((b + 0x7fff + ((b >>> 16) & 1)) >>> 16) & 0xffff));
    expect(await load("bf16")).toEqual(bf16);
  });

  it("quantizes q8 by groups of 32 exactly as the definition says", async () => {
    const ops = backends[2]!;
    const expected = new Float32Array(w.length);
    for (let row = 0; row < 10; row++) {
      for (let start = 0; start < cols; start += 32) {
        const group = w.subarray(row * cols + start, row * cols + Math.min(cols, start + 32));
        const peak = group.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
        const [scale, inverse] = [Math.fround(peak / 127), Math.fround(127 / peak)];
        group.forEach((v, i) => {
          // Ties do not occur in these values; a code of −0 does not exist.
          const code = Math.round(Math.fround(v * inverse)) + 0;
          expected[row * cols + start + i] = code * scale;
        });
      }
    }
    expect(await stored(ops, ops.loadWeight(parts, "q8"))).toEqual(expected);
  });

  it.each(["f16", "bf16"] as const)("reads %s checkpoints into every type", async (dtype) => {
    const ops = backends[1]!;
    // A checkpoint of this dtype: bits of the rounded values.
    const rounded = await stored(ops, ops.loadWeight(parts, dtype));
    const bits = new Uint32Array(rounded.buffer);
    const words = Uint16Array.from(rounded, (v, i) => (dtype === "f16" ? toFloat16Bits(v) : bits[i]! >>> 16));
    const part = { dtype, rows: 10, cols, data: new Uint8Array(words.buffer) };
    for (const type of ["f32", dtype] as const) {
      expect(await stored(ops, ops.loadWeight([part], type)), type).toEqual(rounded);
    }
    for (const type of ["q8", "q4"] as const) {
      const kept = await stored(ops, ops.loadWeight([part], type));
      expect(kept).toEqual(await stored(ops, ops.loadWeight([partOf(rounded, cols)], type)));
    }
  });

  it.each(["q8", "q4"] as const)("keeps %s exactly as the plain TypeScript rounds it", async (type) => {
    const ops = backends[1]!;
    // Ties, zeros, a group of one sign, and the extremes of both signs.
    const odd = w.map((v, i) =>
      i % 45 < 8 ? 0 : i % 7 === 0 ? Math.round(v * 4) / 4 : i % 11 === 0 ? -Math.abs(v) : v,
    );
    for (const values of [w, odd, w.map((v) => v * 1e-7), w.map((v) => v * 1e4)]) {
      const kept = await stored(ops, ops.loadWeight([partOf(values, cols)], type));
      // 0 and −0 are the same weight.
      expect(kept.map((v) => v + 0)).toEqual(keptValues([partOf(values, cols)], type).data.map((v) => v + 0));
    }
  });

  it.each(["q8", "q4"] as const)("keeps blocks of %s that a checkpoint stores, code by code", async (type) => {
    const ops = backends[1]!;
    const part = { dtype: type, rows: 10, cols, data: weightFormat(type).quantize!(w, 10, cols) };
    const halves = [0, 7].map((first, i) => ({
      ...part,
      rows: [7, 3][i]!,
      data: storedRows(part, first, [7, 3][i]!),
    }));
    const kept = await stored(ops, ops.loadWeight(halves, type));
    expect(kept).toEqual(stackParts([part]).data);
    // Through floats into another format.
    for (const other of ["f32", "q8", "q4"] as const) {
      const converted = await stored(ops, ops.loadWeight([part], other));
      expect(converted.map((v) => v + 0)).toEqual(keptValues([part], other).data.map((v) => v + 0));
    }
  });

  it.each(wasmSources().map(({ name }) => name as WeightType))(
    "reads blocks of %s as the definitions say",
    async (dtype) => {
      const ops = backends[1]!;
      const format = weightFormat(dtype);
      const [rows, wide] = [7, 512];
      const data = new Uint8Array(matrixBytes(format, rows, wide));
      const [values, rng] = [format.block.values as number, new CounterRng(5, 0)];
      const blockBytes = data.length / ((rows * wide) / values);
      let drawn = 0;
      // Finite values that f16 holds.
      const isFit = (block: Uint8Array): boolean => {
        const floats = new Float32Array(values);
        format.dequantize(block, 1, values, floats);
        return floats.every((value) => Math.abs(value) < 65504);
      };
      for (let at = 0; at < data.length; at += blockBytes) {
        const block = data.subarray(at, at + blockBytes);
        do for (let i = 0; i < blockBytes; i++) block[i] = Math.floor(256 * rng.uniform(drawn++));
        while (format.firstNonFinite(block, 1, values) >= 0 || !isFit(block));
      }
      const part = { dtype, rows, cols: wide, data };
      for (const type of WEIGHT_TYPES) {
        const kept = await stored(ops, ops.loadWeight([part], type));
        const expected = { ...part, dtype: type, data: rowsAs(part, 0, rows, type) };
        expect(kept, type).toEqual(stackParts([expected]).data);
      }
    },
  );

  it.each([
    ["f32", Uint32Array, 0x7f7fffff, 0x7f800000],
    ["f16", Uint16Array, 0x7bff, 0x7c00],
    ["bf16", Uint16Array, 0x7f7f, 0x7f80],
  ] as const)("sees what is not finite in %s, kept as anything", (dtype, Patterns, largest, infinite) => {
    const [rows, wide] = [5, 45];
    const sign = Patterns === Uint32Array ? 2 ** 31 : 0x8000;
    const write = (patterns: Uint32Array | Uint16Array, type: WeightType) => {
      const writer = backends[1]!.createWeight(rows, wide, type);
      const finite = writer.write({ dtype, rows, cols: wide, data: new Uint8Array(patterns.buffer) }, 0);
      backends[1]!.freeWeight(writer.finish());
      return finite;
    };
    for (const type of WEIGHT_TYPES) {
      const patterns = new Patterns(rows * wide).map((_, i) => largest + (i % 3 ? sign : 0));
      expect(write(patterns, type), type).toBe(true);
      for (const at of [0, 31, 44, 45, 3 * 45 + 7, 5 * 45 - 1]) {
        for (const bad of [infinite, infinite + sign, infinite + 1]) {
          const broken = patterns.slice();
          broken[at] = bad;
          expect(write(broken, type), `${type} at ${at}: ${bad}`).toBe(false);
        }
      }
    }
  });

  it("takes 1.125 bytes a weight in q8, 0.625 in q4, and says so", () => {
    const bytes = (type: WeightType) => backends[0]!.loadWeight([partOf(new Float32Array(8 * 64), 64)], type).numBytes;
    expect(bytes("q8")).toBe(8 * 64 * 1.125);
    expect(bytes("q4")).toBe(8 * 64 * 0.625);
  });
});
