/** @file Contract of norms, activations and gathered rows, and of the order in which operations of a step come. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Buf, Ops } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { ACTIVATION_KINDS, activated, activationError, NORM_CASES, normed } from "../support/elementwise-grid.ts";
import { download, gaussians, partOf, relativeError, stepOf, upload } from "../support/wasm-backend.ts";
import type { Target } from "./target.ts";

/** Groups of 4, 32, 128 and 256 (threads of a workgroup), one less and one more. */
const WIDTHS = [1, 2, 31, 32, 33, 127, 128, 129, 255, 257, 1000];
const ROWS = [1, 2, 70];
/** Columns and rows where there are many cases: one, no group of 4, fewer and more than a workgroup has threads, work for several threads. */
const SIZES = [
  [1, 3],
  [30, 1],
  [63, 2],
  [300, 70],
] as const;

export function elementwiseContract({ open, limits }: Target): void {
  const reference = createReferenceBackend();
  let ops: Ops;
  beforeAll(async () => {
    ops = await open();
  });
  afterAll(() => ops?.dispose());

  /** Values of a buffer that is then given back. */
  async function take(each: Ops, buf: Buf): Promise<Float32Array> {
    const values = await download(each, buf);
    each.free(buf);
    return values;
  }

  async function norm(each: Ops, x: Float32Array, weight: Float32Array, inPlace: boolean): Promise<Float32Array> {
    const from = upload(each, x);
    const out = inPlace ? from : each.alloc(x.length);
    const factors = each.loadWeight([partOf(weight, weight.length)], "f32");
    each.rmsNorm(from, factors, 1e-6, x.length / weight.length, out);
    const values = await take(each, out);
    if (!inPlace) each.free(from);
    each.freeWeight(factors);
    return values;
  }

  async function gate(each: Ops, gateUp: Float32Array, width: number): Promise<Float32Array> {
    const [from, out] = [upload(each, gateUp), each.alloc(gateUp.length / 2)];
    each.swiglu(from, gateUp.length / (2 * width), width, out);
    each.free(from);
    return take(each, out);
  }

  it("write puts values into a buffer behind what is queued", async () => {
    for (const each of [reference, ops]) {
      const [first, second] = [gaussians(5, 300), gaussians(6, 300)];
      const [x, before, after] = [upload(each, first), each.alloc(300), each.alloc(300)];
      const step = stepOf([0], [0]);
      each.beginStep(step, []);
      each.gatherRows(step, x, 300, before);
      each.write(x, second);
      each.gatherRows(step, x, 300, after);
      each.write(x, first.subarray(0, 7));
      expect(await take(each, before)).toEqual(first);
      expect(await take(each, after)).toEqual(second);
      expect((await take(each, x)).subarray(0, 8)).toEqual(Float32Array.of(...first.subarray(0, 7), second[7]!));
    }
  });

  it("rmsNorm divides rows by their root mean square, in place too", async () => {
    for (const width of WIDTHS) {
      for (const rows of ROWS) {
        const [x, weight] = [gaussians(1, rows * width, 3), gaussians(2, width)];
        const expected = await norm(reference, x, weight, false);
        for (const inPlace of [false, true]) {
          const error = relativeError(await norm(ops, x, weight, inPlace), expected);
          expect(error, `${rows}x${width}, in place: ${inPlace}`).toBeLessThan(limits.elementwise());
        }
      }
    }
  });

  it("rmsNorm: rows of zeros, of huge and of tiny values, and one that is not finite", async () => {
    const width = 129;
    const weight = gaussians(2, width);
    const x = new Float32Array(4 * width);
    x.set(gaussians(3, width, 1e15), width);
    x.set(gaussians(4, width, 1e-9), 2 * width);
    x.set(gaussians(5, width), 3 * width);
    x[3 * width + 7] = Number.NaN;
    const [actual, expected] = [await norm(ops, x, weight, false), await norm(reference, x, weight, false)];
    const row = (values: Float32Array, r: number): Float32Array => values.subarray(r * width, (r + 1) * width);
    expect(row(actual, 0).every((value) => value === 0)).toBe(true);
    for (const r of [1, 2]) {
      expect(relativeError(row(actual, r), row(expected, r)), `row ${r}`).toBeLessThan(limits.elementwise());
    }
    expect(row(actual, 3).some(Number.isFinite)).toBe(false);
  });

  it("swiglu is silu(gate) · up, also where exp overflows", async () => {
    for (const width of WIDTHS) {
      for (const rows of ROWS) {
        const gateUp = gaussians(3, rows * 2 * width, 4);
        gateUp[0] = -200;
        gateUp[gateUp.length - width - 1] = 200;
        const error = relativeError(await gate(ops, gateUp, width), await gate(reference, gateUp, width));
        expect(error, `${rows}x${width}`).toBeLessThan(limits.elementwise());
      }
    }
  });

  it("swiglu keeps zeros, the signs of extremes, and what is not finite", async () => {
    const gates = [0, -0, 1e30, -1e4, 88, -88, 1e-20, Number.NaN, 1];
    const ups = [3, -3, 1e5, 1e5, 2, 2, -1e10, 1, Number.NaN];
    const actual = await gate(ops, Float32Array.from([...gates, ...ups]), gates.length);
    const expected = await gate(reference, Float32Array.from([...gates, ...ups]), gates.length);
    for (const [i, value] of expected.entries()) {
      const note = `silu(${gates[i]}) · ${ups[i]}`;
      if (Number.isNaN(value)) expect(actual[i], note).toBeNaN();
      // exp(88) is close to the largest f32, beyond which silu is a small number instead of zero.
      else expect(Math.abs(actual[i]! - value), note).toBeLessThanOrEqual(1e-6 * Math.abs(value) + 1e-28);
    }
  });

  it.each(NORM_CASES)(
    "norm: $kind, bias $hasBias, added $add, in place $isInPlace, $before and $behind columns beside, cutoff $cutoff, length of others $hasLike",
    async (c) => {
      for (const [width, rows] of SIZES) {
        const error = activationError(await normed(ops, c, width, rows), await normed(reference, c, width, rows));
        expect(error, `${rows}x${width}`).toBeLessThan(limits.activation());
      }
    },
  );

  it.each(ACTIVATION_KINDS)("%s, with a gate and without", async (kind) => {
    for (const isGated of [false, true]) {
      for (const [width, rows] of SIZES) {
        const [actual, expected] = [
          await activated(ops, { kind, isGated }, width, rows),
          await activated(reference, { kind, isGated }, width, rows),
        ];
        expect(activationError(actual, expected), `${rows}x${width}`).toBeLessThan(limits.activation());
      }
    }
  });

  it("softcap is cap · tanh(x / cap), also where exp overflows, and leaves what follows", async () => {
    for (const length of [1, 4, 31, 3000]) {
      const x = gaussians(5, length + 4, 20);
      x[0] = 1e30;
      const [actual, expected] = await Promise.all(
        [ops, reference].map(async (each) => {
          const buf = upload(each, x);
          each.softcap(buf, length, 6);
          return take(each, buf);
        }),
      );
      const error = relativeError(actual!.subarray(0, length), expected!.subarray(0, length));
      expect(error, `${length}`).toBeLessThan(limits.elementwise());
      // Whole vectors of four may be written.
      const end = Math.ceil(length / 4) * 4;
      expect(actual!.subarray(end)).toEqual(x.subarray(end));
    }
  });

  it("addPositions adds rows of a table by position", async () => {
    for (const type of ["f32", "q8"] as const) {
      for (const width of [1, 2, 30, 64]) {
        const [table, x] = [partOf(gaussians(6, 9 * width), width), gaussians(7, 3 * width)];
        const positions = Int32Array.of(8, 0, 8);
        const [actual, expected] = await Promise.all(
          [ops, reference].map(async (each) => {
            const weight = each.loadWeight([table], type);
            const out = upload(each, x);
            const step = { ...stepOf([1, 1, 1]), positions };
            each.beginStep(step, []);
            each.addPositions(step, weight, out);
            each.freeWeight(weight);
            return take(each, out);
          }),
        );
        expect(relativeError(actual!, expected!), `${type} ${width}`).toBeLessThan(limits.elementwise());
      }
    }
  });

  it("gatherRows copies the rows asked for, in any order and repeated", async () => {
    for (const width of WIDTHS) {
      const x = gaussians(5, 9 * width);
      const rows = [8, 0, 4, 4];
      const [from, out] = [upload(ops, x), ops.alloc(rows.length * width)];
      const step = stepOf([0], rows);
      ops.beginStep(step, []);
      ops.gatherRows(step, from, width, out);
      const expected = rows.flatMap((row) => [...x.subarray(row * width, (row + 1) * width)]);
      expect([...(await take(ops, out))], `${width}`).toEqual(expected);
      ops.free(from);
    }
  });

  it("refuses an operation of a step that was not begun last", () => {
    for (const each of [ops, reference]) {
      const [first, second] = [stepOf([0], [0]), stepOf([0], [0])];
      const table = each.loadWeight([partOf(new Float32Array(2 * 8), 8)], "f32");
      const out = each.alloc(8);
      expect(() => each.embed(first, table, out)).toThrow(/embed: beginStep was last called/);
      each.beginStep(first, []);
      each.embed(first, table, out);
      each.beginStep(second, []);
      expect(() => each.gatherRows(first, out, 8, each.alloc(8))).toThrow(/gatherRows: beginStep was last called/);
    }
  });

  it("a buffer that is too short is an internal error, not a write past its end", () => {
    const [short, norms] = [ops.alloc(8), ops.loadWeight([partOf(new Float32Array(8), 8)], "f32")];
    const long = ops.alloc(64);
    const step = stepOf([0], [2]);
    ops.beginStep(step, []);
    expect(() => ops.swiglu(short, 2, 8, long)).toThrow(/swiglu: 32 values do not fit/);
    expect(() => ops.swiglu(long, 2, 8, short)).toThrow(/swiglu: 16 values do not fit/);
    expect(() => ops.rmsNorm(short, norms, 1e-6, 2, long)).toThrow(/rmsNorm: 16 values do not fit/);
    expect(() => ops.rmsNorm(long, norms, 1e-6, 2, short)).toThrow(/rmsNorm: 16 values do not fit/);
    expect(() => ops.gatherRows(step, short, 8, long)).toThrow(/gatherRows: 24 values do not fit/);
  });
}
