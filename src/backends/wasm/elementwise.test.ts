/** @file Embeddings, norms, activations and gathering of rows against f64. */
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  ACTIVATION_KINDS,
  activated,
  activationError,
  NORM_CASES,
  normed,
} from "../../../test/support/elementwise-grid.ts";
import { tolerance } from "../../../test/tolerances.ts";
import "../../node/install.ts";
import {
  download,
  embedTokens,
  gaussians,
  partOf,
  relativeError,
  stepOf,
  upload,
  WEIGHT_TYPES,
} from "../../../test/support/wasm-backend.ts";
import { weightFormat } from "../../weights/registry.ts";
import { isPlain } from "../../weights/weight-format.ts";
import { keptValues } from "../../weights/weight-part.ts";
import type { Ops } from "../ops.ts";
import { activationOf } from "../reference/activations.ts";
import { createReferenceBackend } from "../reference/backend.ts";
import { createWasmBackend } from "./backend.ts";

/** Not multiples of 4, and enough elements at 300 columns and 70 rows to be shared between threads. */
const WIDTHS = [1, 3, 4, 30, 64, 300];
const ROWS = [1, 2, 9, 70];

let backends: readonly Ops[];
beforeAll(async () => {
  backends = await Promise.all([1, 2, 3].map((threads) => createWasmBackend({ threads })));
});
afterAll(async () => {
  await Promise.all(backends.map((ops) => ops.dispose()));
});

/** Runs on every backend, expects the same bits, returns them. */
async function onAll(run: (ops: Ops) => Promise<Float32Array>): Promise<Float32Array> {
  const results = await Promise.all(backends.map(run));
  for (const result of results) expect(result).toEqual(results[0]);
  return results[0]!;
}

it("rmsNorm divides rows by their root mean square, in place too", async () => {
  for (const width of WIDTHS) {
    for (const rows of ROWS) {
      const [x, weight] = [gaussians(1, rows * width, 3), gaussians(2, width)];
      const eps = 1e-5;
      const actual = await onAll(async (ops) => {
        const buf = upload(ops, x);
        ops.rmsNorm(buf, ops.loadWeight([partOf(weight, width)], "f32"), eps, rows, buf);
        return download(ops, buf);
      });
      const expected = x.map((v, i) => {
        const row = x.subarray(Math.floor(i / width) * width, (Math.floor(i / width) + 1) * width);
        return (v / Math.sqrt(row.reduce((sum, u) => sum + u * u, 0) / width + eps)) * weight[i % width]!;
      });
      expect(relativeError(actual, expected), `${rows}x${width}`).toBeLessThan(tolerance.elementwise.max);
    }
  }
});

it("swiglu is silu(gate) · up, also where exp overflows", async () => {
  for (const width of WIDTHS) {
    for (const rows of ROWS) {
      const gateUp = gaussians(3, rows * 2 * width, 4);
      gateUp[0] = -200;
      gateUp[gateUp.length - width - 1] = 200;
      const actual = await onAll(async (ops) => {
        const out = ops.alloc(rows * width);
        ops.swiglu(upload(ops, gateUp), rows, width, out);
        return download(ops, out);
      });
      const expected = Float64Array.from({ length: rows * width }, (_, i) => {
        const base = Math.floor(i / width) * 2 * width + (i % width);
        return (gateUp[base]! / (1 + Math.exp(-gateUp[base]!))) * gateUp[base + width]!;
      });
      expect(relativeError(actual, expected), `${rows}x${width}`).toBeLessThan(tolerance.elementwise.max);
    }
  }
});

it.each(NORM_CASES)(
  "norm: $kind, bias $hasBias, added $add, in place $isInPlace, $before and $behind columns beside",
  async (c) => {
    for (const width of WIDTHS) {
      for (const rows of ROWS) {
        const actual = await onAll((ops) => normed(ops, c, width, rows));
        const expected = await normed(createReferenceBackend(), c, width, rows);
        expect(activationError(actual, expected), `${rows}x${width}`).toBeLessThan(tolerance.activation.max);
      }
    }
  },
);

it.each(ACTIVATION_KINDS)("%s, with a gate and without", async (kind) => {
  for (const isGated of [false, true]) {
    for (const width of WIDTHS) {
      for (const rows of ROWS) {
        const actual = await onAll((ops) => activated(ops, { kind, isGated }, width, rows));
        const expected = await activated(createReferenceBackend(), { kind, isGated }, width, rows);
        expect(activationError(actual, expected), `${rows}x${width}`).toBeLessThan(tolerance.activation.max);
      }
    }
  }
});

it("the reference's activations are their definitions", () => {
  const at = (kind: (typeof ACTIVATION_KINDS)[number], x: number): number =>
    activationOf(kind, Float32Array.of(0.5, 0.25))(x);
  // GELU at 1 and −1 from tables of the normal distribution; its approximation is close by.
  expect(at("gelu", 1)).toBeCloseTo(0.8413447460685429, 14);
  expect(at("gelu", -1)).toBeCloseTo(-0.15865525393145707, 14);
  expect(at("gelu", 7)).toBe(7);
  expect(at("gelu_tanh", 1)).toBeCloseTo(0.8411919906082768, 14);
  expect([at("relu2", -3), at("relu2", 3)]).toEqual([0, 9]);
  expect(at("xielu", 2)).toBeCloseTo(Math.log(1 + Math.exp(0.5)) * 4 + 1, 14);
  expect(at("xielu", -2)).toBeCloseTo((0.5 + Math.log(1 + Math.exp(0.25))) * (Math.exp(-2) + 1) - 1, 14);
});

it("softcap is cap · tanh(x / cap), also where exp overflows, and leaves what follows", async () => {
  for (const length of [1, 4, 31, 3000]) {
    const x = gaussians(5, length + 4, 20);
    x[0] = 1e30;
    const actual = await onAll(async (ops) => {
      const buf = upload(ops, x);
      ops.softcap(buf, length, 6);
      return download(ops, buf);
    });
    const expected = Float64Array.from(x, (value, i) => (i < length ? 6 * Math.tanh(value / 6) : value));
    const end = Math.ceil(length / 4) * 4;
    expect(relativeError(actual.subarray(0, length), expected.subarray(0, length))).toBeLessThan(
      tolerance.elementwise.max,
    );
    expect(actual.subarray(end)).toEqual(x.subarray(end));
  }
});

it("embed takes rows by token, in any order and repeated", async () => {
  const [rows, cols] = [11, 37];
  const table = gaussians(4, rows * cols);
  const tokens = [10, 0, 3, 3, 7];
  for (const type of WEIGHT_TYPES) {
    const actual = await onAll(async (ops) => {
      const out = ops.alloc(tokens.length * cols);
      embedTokens(ops, tokens, ops.loadWeight([partOf(table, cols)], type), out);
      return download(ops, out);
    });
    const held = keptValues([partOf(table, cols)], type).data;
    const expected = Float32Array.from(actual, (_, i) => held[tokens[Math.floor(i / cols)]! * cols + (i % cols)]!);
    // Half a step of bf16 is the coarsest of the types that are only rounded; integers are compared with what they hold.
    const bound = !isPlain(weightFormat(type)) ? 1e-6 : 3.5 / 256;
    expect(Math.max(...actual.map((v, i) => Math.abs(v - expected[i]!))), type).toBeLessThan(bound);
    if (type === "f32") expect(actual).toEqual(expected);
    const scaled = await onAll(async (ops) => {
      const out = ops.alloc(tokens.length * cols);
      embedTokens(ops, tokens, ops.loadWeight([partOf(table, cols)], type), out, 0.25);
      return download(ops, out);
    });
    expect(scaled).toEqual(actual.map((value) => value * 0.25));
  }
});

it("embed refuses a token that is not in the table", () => {
  for (const ops of [backends[0]!, createReferenceBackend()]) {
    const table = ops.loadWeight([partOf(new Float32Array(4 * 8), 8)], "bf16");
    for (const token of [4, -1]) {
      expect(() => embedTokens(ops, [token], table, ops.alloc(8)), ops.name).toThrow(
        `embed: expected tokens from 0 to 3, got ${token}; use ids`,
      );
    }
  }
});

it("gatherRows copies the rows asked for", async () => {
  const width = 6;
  const x = gaussians(5, 9 * width);
  const rows = [8, 0, 4, 4];
  const actual = await onAll(async (ops) => {
    const out = ops.alloc(rows.length * width);
    const from = upload(ops, x);
    const step = stepOf([0], rows);
    ops.beginStep(step, []);
    ops.gatherRows(step, from, width, out);
    return download(ops, out);
  });
  expect([...actual]).toEqual(rows.flatMap((row) => [...x.subarray(row * width, (row + 1) * width)]));
});

it("refuses an operation of a step that was not begun last", () => {
  for (const ops of [...backends, createReferenceBackend()]) {
    const [first, second] = [stepOf([0], [0]), stepOf([0], [0])];
    const table = ops.loadWeight([partOf(new Float32Array(8), 8)], "f32");
    const out = ops.alloc(8);
    expect(() => ops.embed(first, table, out)).toThrow(/beginStep/);
    ops.beginStep(first, []);
    ops.embed(first, table, out);
    ops.beginStep(second, []);
    expect(() => ops.gatherRows(first, out, 8, ops.alloc(8))).toThrow(/gatherRows: beginStep was last called/);
  }
});

it("a buffer that is too short is an internal error, not a write past its end", () => {
  const ops = backends[0]!;
  expect(() => ops.swiglu(ops.alloc(16), 2, 8, ops.alloc(16))).toThrow(/swiglu: 32 values do not fit/);
});
