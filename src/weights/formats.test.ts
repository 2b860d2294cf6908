import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromFloat16Bits } from "../math/float16.ts";
import { CounterRng } from "../math/rng.ts";
import { bytesOf } from "./elements.ts";
import { GROUP } from "./groups.ts";
import { keptRuns, keptType } from "./kept-type.ts";
import { registerWeightFormat, type WeightType, weightFormat, weightTypes, wgslWeightFormat } from "./registry.ts";
import { isPlain, matrixBytes, rowBytes } from "./weight-format.ts";
import { floatRows, keptValues, rowsAs, stackParts, type WeightPart } from "./weight-part.ts";

const finite = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 });

const quantize = (type: WeightType, values: Float32Array, rows: number, cols: number): Uint8Array<ArrayBuffer> =>
  weightFormat(type).quantize!(values, rows, cols);

const partOf = (type: WeightType, values: Float32Array, rows: number, cols: number): WeightPart => ({
  dtype: type,
  rows,
  cols,
  data: quantize(type, values, rows, cols),
});

/** What a format holds of these values. */
const roundedTo = (type: WeightType, values: Float32Array, rows: number, cols: number): Float32Array =>
  keptValues([partOf("f32", values, rows, cols)], type).data;

const waves = (rows: number, cols: number): Float32Array =>
  Float32Array.from({ length: rows * cols }, (_, i) => Math.sin(i * 1.7) * (1 + (i % 13)));

describe("weights in groups", () => {
  it("q4 is right for a group worked out by hand", () => {
    // Sixteen levels of 0.5 from −3 on, twice; the second half of a byte is a column 16 later.
    const values = Float32Array.from({ length: 32 }, (_, i) => -3 + 0.5 * ((i * 7) % 16));
    const stored = quantize("q4", values, 1, 32);
    const [scale, minimum] = new Uint16Array(stored.buffer, 0, 2);
    expect([scale, minimum].map((bits) => fromFloat16Bits(bits!))).toEqual([0.5, -3]);
    expect(Array.from(stored.subarray(4), (byte) => byte & 15)).toEqual(
      Array.from({ length: 16 }, (_, i) => (i * 7) % 16),
    );
    expect(roundedTo("q4", values, 1, 32)).toEqual(values);
  });

  it("q4 is nearer than the range of a group cut into equal steps", () => {
    const [rows, cols] = [8, 256];
    const rng = new CounterRng(3, 0);
    const values = Float32Array.from({ length: rows * cols }, (_, i) => rng.gaussian(i));
    const rounded = roundedTo("q4", values, rows, cols);
    let [own, equal] = [0, 0];
    for (let start = 0; start < values.length; start += GROUP) {
      const group = values.subarray(start, start + GROUP);
      const low = Math.min(...group);
      const step = (Math.max(...group) - low) / 15;
      for (const [i, value] of group.entries()) {
        own += (rounded[start + i]! - value) ** 2;
        equal += (low + step * Math.round((value - low) / step) - value) ** 2;
      }
    }
    // Of normal numbers 0.83; the tenth of a range that is given up costs its ends less than it gains the middle.
    expect(own / equal).toBeLessThan(0.87);
  });

  it("q8 is right for a group worked out by hand", () => {
    const stored = quantize("q8", Float32Array.of(127, -127, 0.5, 1.5, 2.4), 1, 5);
    expect(new Float32Array(stored.buffer, 0, 1)[0]).toBe(1);
    expect([...new Int8Array(stored.buffer, 4, 6)]).toEqual([127, -127, 0, 2, 2, 0]);
  });

  it("zeros stay zeros", () => {
    for (const type of ["q8", "q4"] as const) {
      const stored = quantize(type, new Float32Array(2 * 40), 2, 40);
      expect(stored.length).toBe(2 * rowBytes(weightFormat(type), 64));
      const whole = new Float32Array(2 * 64).fill(1);
      weightFormat(type).dequantize(stored, 2, 64, whole);
      expect(whole.every((value) => value === 0)).toBe(true);
    }
  });

  it("is off by half a step at most; q4 by as much as a tenth of a range that it gives up", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1, maxLength: 100 }), (values) => {
        const w = Float32Array.from(values);
        for (const [type, part] of [
          ["q8", 0.5 / 127],
          ["q4", 0.16],
        ] as const) {
          const rounded = roundedTo(type, w, 1, w.length);
          for (let start = 0; start < w.length; start += GROUP) {
            const group = w.subarray(start, start + GROUP);
            const peak = Math.max(...group.map(Math.abs));
            for (const [i, value] of group.entries()) {
              expect(Math.abs(rounded[start + i]! - value)).toBeLessThanOrEqual(part * peak * (1 + 1e-5) + 1e-6);
            }
          }
        }
      }),
    );
  });

  it.each(["q8", "q4"] as const)("units of %s on a GPU hold the values of the definition", (type) => {
    const [rows, cols] = [3, 72];
    const stored = quantize(type, waves(rows, cols), rows, cols);
    const padded = Math.ceil(cols / GROUP) * GROUP;
    const expected = new Float32Array(rows * padded);
    weightFormat(type).dequantize(stored, rows, padded, expected);
    const { words, scales } = wgslWeightFormat(type).split!(stored, rows, cols);
    // What the WGSL does: codes in order, eight of them a unit; q8 as two's complement, q4 with two halves a scale.
    const halves = new Uint16Array(scales!.buffer);
    const values =
      type === "q8"
        ? Array.from(new Int8Array(words.buffer), (code, i) => Math.fround(code * scales![i >> 5]!))
        : Array.from(words)
            .flatMap((byte) => [byte & 15, byte >> 4])
            .map((code, i) => {
              const [scale, minimum] = [0, 1].map((part) => fromFloat16Bits(halves[2 * (i >> 5) + part]!));
              return Math.fround(Math.fround(code * scale!) + minimum!);
            });
    expect(values).toEqual([...expected]);
  });
});

describe("every format", () => {
  it.each(weightTypes())("%s takes the bytes it says and gives back what it holds", (type) => {
    const format = weightFormat(type);
    for (const [rows, cols] of [
      [1, 1],
      [3, 33],
      [2, 64],
    ] as const) {
      const stored = quantize(type, waves(rows, cols), rows, cols);
      expect(stored.length).toBe(matrixBytes(format, rows, cols));
      const values = new Float32Array(rows * cols);
      format.dequantize(stored, rows, cols, values);
      const again = new Float32Array(rows * cols);
      format.dequantize(quantize(type, values, rows, cols), rows, cols, again);
      if (isPlain(format)) expect(again).toEqual(values);
      // Bytes that begin at an odd address are read as well.
      const odd = new Uint8Array(stored.length + 1);
      odd.set(stored, 1);
      format.dequantize(odd.subarray(1), rows, cols, again);
      expect(again).toEqual(values);
      expect(format.firstNonFinite(stored, rows, cols)).toBe(-1);
    }
  });

  it("finds the first value that is not finite", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const values = Float32Array.of(1, 2, bad, bad);
      expect(weightFormat("f32").firstNonFinite(bytesOf(values), 1, 4)).toBe(2);
    }
    expect(weightFormat("f16").firstNonFinite(bytesOf(Uint16Array.of(0x3c00, 0x7c00)), 1, 2)).toBe(1);
    expect(weightFormat("bf16").firstNonFinite(bytesOf(Uint16Array.of(0x3f80, 0xffc0)), 1, 2)).toBe(1);
    for (const [type, infinite, largest] of [
      ["f16", 0x7c00, 0x7bff],
      ["bf16", 0x7f80, 0x7f7f],
    ] as const) {
      for (const length of [1, 2, 3, 8191, 20_000]) {
        const patterns = new Uint16Array(length).map((_, i) => largest | (i % 3 ? 0x8000 : 0));
        expect(weightFormat(type).firstNonFinite(bytesOf(patterns), 1, length)).toBe(-1);
        for (const at of [0, length >> 1, length - 1]) {
          const broken = patterns.slice();
          broken[at] = infinite | (at % 2 ? 0x8000 : 0) | (at % 5);
          expect(weightFormat(type).firstNonFinite(bytesOf(broken), 1, length), `${type} ${length} ${at}`).toBe(at);
        }
      }
    }
    const stored = quantize("q8", waves(2, 40), 2, 40);
    new Float32Array(stored.buffer)[3 * 9] = Number.NaN;
    expect(weightFormat("q8").firstNonFinite(stored, 2, 40)).toBe(40 + 32);
  });

  it("is named by its registration, once", () => {
    expect(() => weightFormat("q3")).toThrow(/expected one of f32, f16, bf16, q8, q4, got q3/);
    expect(() => registerWeightFormat(weightFormat("q8"))).toThrow(/q8 is registered already/);
  });
});

describe("rows on their way", () => {
  const [rows, cols] = [5, 40];
  const values = waves(rows, cols);

  it("pass through untouched where they are stored as asked", () => {
    for (const type of weightTypes()) {
      const part = partOf(type, values, rows, cols);
      const own = rowsAs(part, 1, 3, type);
      expect(own.buffer).toBe(part.data.buffer);
      expect(own.byteOffset - part.data.byteOffset).toBe(rowBytes(weightFormat(type), cols));
      expect(own.byteLength).toBe(matrixBytes(weightFormat(type), 3, cols));
    }
  });

  it("become what the definitions make of them, from every format into every other", () => {
    for (const from of weightTypes()) {
      const part = partOf(from, values, rows, cols);
      const floats = stackParts([part]).data;
      for (const to of weightTypes().filter((type) => type !== from)) {
        const expected = quantize(to, floats.slice(2 * cols, 4 * cols), 2, cols);
        expect(rowsAs(part, 2, 2, to), `${from} to ${to}`).toEqual(expected);
      }
      expect(floatRows(part, 4, 1)).toEqual(floats.subarray(4 * cols));
    }
  });

  it("stack whatever they are stored in", () => {
    const { data } = stackParts([partOf("f32", values, rows, cols), partOf("q8", values, rows, cols)]);
    expect(data.subarray(0, values.length)).toEqual(values);
    expect(data.subarray(values.length)).toEqual(roundedTo("q8", values, rows, cols));
  });
});

describe("the format a weight is kept in", () => {
  it("is f32 for vectors, what was asked for else, and as stored for auto", () => {
    expect(keptType("vector", "bf16", "q4")).toBe("f32");
    expect(keptType("matrix", "f16", "q4")).toBe("q4");
    expect(keptType("matrix", "bf16", "auto")).toBe("bf16");
    expect(keptType("matrix", "q6_k", "auto")).toBe("q8");
  });

  it("is each tensor's own in a stack, with neighbours of one format as one matrix", () => {
    const runs = (stored: WeightType[], asked: WeightType | "auto" = "auto") =>
      keptRuns("matrix", stored, (type) => type, asked).map(({ type, tensors }) => [type, tensors.length]);
    expect(runs(["q4_k", "q4_k", "q6_k"])).toEqual([
      ["q4", 2],
      ["q8", 1],
    ]);
    expect(runs(["q4_k", "q4_0", "q4"])).toEqual([["q4", 3]]);
    expect(runs(["bf16", "f32", "bf16"])).toEqual([
      ["bf16", 1],
      ["f32", 1],
      ["bf16", 1],
    ]);
    expect(runs(["q4_k", "q6_k"], "q8")).toEqual([["q8", 2]]);
    const biases = keptRuns("vector", ["bf16", "f32"] as const, (type) => type, "auto");
    expect(biases.map(({ type, tensors }) => [type, tensors.length])).toEqual([["f32", 2]]);
  });

  it("has eight bits for the embedding beside q4", () => {
    expect(keptType("embedding", "bf16", "q4")).toBe("q8");
    expect(keptType("embedding", "bf16", "q8")).toBe("q8");
    expect(keptType("embedding", "bf16", "auto")).toBe("bf16");
  });
});
