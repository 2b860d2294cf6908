/** @file The kernels of assembly/linear/linear.ts and assembly/elementwise/elementwise.ts against loops in f64. */
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import { beforeAll, describe, expect, it } from "vitest";
import { tolerance } from "../../../test/tolerances.ts";
import {
  type StoredType,
  weightStride,
  writeEmbedParams,
  writeGatherRowsParams,
  writeLinearParams,
  writeQuantizeActivationsParams,
  writeQuantizeWeightsParams,
  writeRmsNormParams,
  writeSwigluParams,
} from "./linear-params.ts";

type Kernel = (task: number, params: number, scratch: number) => void;

const memory = new WebAssembly.Memory({ initial: 128, maximum: 65536, shared: true });
const bytes = new Uint8Array(memory.buffer);
const view = new DataView(memory.buffer);
const PARAMS = 64;
const SCRATCH = 128;
const FIRST_FREE = SCRATCH + 512 * 1024;
/** What memory holds before a kernel runs: NaN as f32, and no plausible code. */
const GUARD = 0xff;
let kernels: Record<string, Kernel>;
let next = FIRST_FREE;

async function compile(entry: string): Promise<Record<string, Kernel>> {
  let binary: Uint8Array<ArrayBuffer> | undefined;
  const { error, stderr } = await asc.main(
    [
      `assembly/${entry}.ts`,
      ...["--outFile", "k.wasm", "--baseDir", fileURLToPath(new URL("../../..", import.meta.url)), "-O1", "--noAssert"],
      ...["--runtime", "stub", "--importMemory", "--sharedMemory", "--initialMemory", "1", "--maximumMemory", "65536"],
      ...["--use", "abort=", "--enable", "simd,threads"],
    ],
    {
      writeFile: (file: string, contents: string | Uint8Array) => {
        if (file.endsWith(".wasm")) binary = new Uint8Array(contents as Uint8Array);
      },
    },
  );
  if (error || !binary) throw new Error(`${entry} did not compile: ${stderr.toString()}`);
  const { instance } = await WebAssembly.instantiate(binary, { env: { memory } });
  return instance.exports as unknown as Record<string, Kernel>;
}

beforeAll(async () => {
  kernels = { ...(await compile("linear/linear")), ...(await compile("elementwise/elementwise")) };
}, 60_000);

/** Space between guard bytes, so that reading or writing past an end shows: what is not written stays NaN. */
function place(size: number): number {
  const at = next;
  next = (at + size + 64 + 15) & ~15;
  if (next > bytes.length) throw new Error("test memory is too small");
  bytes.fill(GUARD, at, next);
  return at;
}

function placeF32(values: ArrayLike<number>): number {
  const at = place(values.length * 4);
  new Float32Array(memory.buffer, at, values.length).set(values);
  return at;
}

const f32At = (at: number, length: number): Float32Array => new Float32Array(memory.buffer, at, length).slice();

/** Tasks backwards: none may depend on an earlier one. The scratch holds NaN before each. */
function run(name: string, tasks: number): void {
  for (let t = tasks - 1; t >= 0; t--) {
    bytes.fill(GUARD, SCRATCH, SCRATCH + 4096);
    kernels[name]!(t, PARAMS, SCRATCH);
  }
}

/** Uniform in (−1, 1), the same in every run. */
function noise(length: number, seed: number): Float32Array {
  let state = (seed * 2654435761) >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** f16 bits whose values are multiples of 2⁻¹⁰ or subnormal, all exact; and the values. */
function halves(values: Float32Array): { bits: Uint16Array; exact: Float32Array } {
  const bits = Uint16Array.from(values, (v, i) => {
    const sign = v < 0 ? 0x8000 : 0;
    if (i % 17 === 0) return sign | (i % 1024); // zero and subnormals
    return sign | (((i % 14) + 2) << 10) | (Math.floor(Math.abs(v) * 1024) % 1024);
  });
  const exact = Float32Array.from(bits, (b) => {
    const exponent = (b >> 10) & 31;
    const fraction = (b & 1023) / 1024;
    const magnitude = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
    return b & 0x8000 ? -magnitude : magnitude;
  });
  return { bits, exact };
}

interface StoredWeight {
  readonly w: number;
  readonly wScale: number;
  /** What the stored numbers mean. */
  readonly exact: Float32Array;
}

function storeWeight(type: StoredType, rows: number, cols: number): StoredWeight {
  const values = noise(rows * cols, rows * 1000 + cols);
  if (type === "f32") return { w: placeF32(values), wScale: 0, exact: values };
  if (type === "q8") {
    const stride = weightStride(cols, "q8");
    const codes = place(rows * stride);
    const wScale = place((rows * stride) / 8);
    const params = { source: placeF32(values), type: "f32", codes, scales: wScale, rows, cols } as const;
    run("quantizeWeights", writeQuantizeWeightsParams(view, PARAMS, params));
    const exact = new Float32Array(rows * cols);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < stride; c++) {
        const code = view.getInt8(codes + r * stride + c);
        if (c >= cols) expect(code).toBe(0);
        else exact[r * cols + c] = code * view.getFloat32(wScale + ((r * stride) / 32 + (c >> 5)) * 4, true);
      }
    }
    return { w: codes, wScale, exact };
  }
  const half = type === "f16" ? halves(values) : null;
  const bits = half?.bits ?? Uint16Array.from(new Uint32Array(values.buffer), (b) => b >>> 16);
  const exact = half?.exact ?? new Float32Array(Uint32Array.from(bits, (b) => b * 65536).buffer);
  const w = place(bits.length * 2);
  bytes.set(new Uint8Array(bits.buffer), w);
  return { w, wScale: 0, exact };
}

interface Case {
  readonly type: StoredType;
  readonly cols: number;
  readonly outRows: number;
  readonly rows: number;
}

/** Runs `linear`: the result and, for each output, what it should be and the sum of what is added without signs, the scale of its rounding errors. */
function multiply(
  weight: StoredWeight,
  x: Float32Array,
  shape: Case,
  bias: Float32Array | null,
  before: Float32Array | null,
) {
  const { type, cols, outRows, rows } = shape;
  let xAt = placeF32(x);
  let xScale = 0;
  let exactX: ArrayLike<number> = x;
  if (type === "q8") {
    const stride = weightStride(cols, "q8");
    const codes = place(rows * stride * 2);
    xScale = place(rows * 4);
    run(
      "quantizeActivations",
      writeQuantizeActivationsParams(view, PARAMS, { x: xAt, codes, scales: xScale, rows, cols }),
    );
    exactX = Float64Array.from(x, (_, i) => {
      const r = Math.floor(i / cols);
      return view.getInt16(codes + (r * stride + (i % cols)) * 2, true) * view.getFloat32(xScale + r * 4, true);
    });
    xAt = codes;
  }
  const out = before ? placeF32(before) : place(rows * outRows * 4);
  const { w, wScale } = weight;
  const biasAt = bias ? placeF32(bias) : 0;
  run(
    "linear",
    writeLinearParams(view, PARAMS, { x: xAt, xScale, w, wScale, bias: biasAt, out, add: before !== null, ...shape }),
  );
  const guard = bytes.subarray(out + rows * outRows * 4, out + rows * outRows * 4 + 64);
  expect(guard.every((b) => b === GUARD)).toBe(true);
  const expected = new Float64Array(rows * outRows);
  const magnitude = new Float64Array(rows * outRows);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outRows; o++) {
      const [b, old] = [bias?.[o] ?? 0, before?.[r * outRows + o] ?? 0];
      let sum = b + old;
      let size = Math.abs(b) + Math.abs(old) + 1e-30;
      for (let c = 0; c < cols; c++) {
        const product = weight.exact[o * cols + c]! * exactX[r * cols + c]!;
        sum += product;
        size += Math.abs(product);
      }
      expected[r * outRows + o] = sum;
      magnitude[r * outRows + o] = size;
    }
  }
  return { result: f32At(out, rows * outRows), expected, magnitude };
}

const TYPES: readonly StoredType[] = ["f32", "f16", "bf16", "q8"];
const COLS = [1, 7, 31, 32, 33, 64, 192, 288, 1000];
const OUT_ROWS = [1, 3, 4, 5, 33, 70];
const ROWS = [1, 2, 4, 5, 9, 33, 70];

describe.each(TYPES)("linear with %s weights", (type) => {
  it.each(COLS)("agrees with f64 for every shape of %i columns", (cols) => {
    let worst = 0;
    // Every shape is without bias and without accumulation for some columns: what is read past their ends is NaN, and
    // would turn a write past the end of `out` into the guard's own bits.
    let variant = COLS.indexOf(cols);
    for (const outRows of OUT_ROWS) {
      next = FIRST_FREE;
      const weight = storeWeight(type, outRows, cols);
      const mark = next;
      for (const rows of ROWS) {
        next = mark;
        const bias = variant & 1 ? noise(outRows, 3) : null;
        const before = variant & 2 ? noise(rows * outRows, 4) : null;
        variant++;
        const { result, expected, magnitude } = multiply(
          weight,
          noise(rows * cols, rows),
          { type, cols, outRows, rows },
          bias,
          before,
        );
        result.forEach((v, i) => {
          // NaN compares as no error with max(), so it is made one.
          const error = Math.abs(v - expected[i]!) / magnitude[i]!;
          worst = Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
        });
      }
    }
    expect(worst).toBeLessThanOrEqual(tolerance.linearKernel.max);
  });

  it("gives a row the same bits in every batch", () => {
    // 33 × 333 has remainders everywhere; 70 rows pass through every path and both blocks of 64.
    const [outRows, cols] = [33, 333];
    next = FIRST_FREE;
    const weight = storeWeight(type, outRows, cols);
    const mark = next;
    const x = noise(70 * cols, 9);
    const all = multiply(weight, x, { type, cols, outRows, rows: 70 }, null, null).result;
    for (const [from, rows] of [
      [0, 1],
      [69, 1],
      [1, 2],
      [64, 3],
      [3, 4],
      [17, 6],
      [60, 10],
    ] as const) {
      next = mark;
      const part = multiply(
        weight,
        x.slice(from * cols, (from + rows) * cols),
        { type, cols, outRows, rows },
        null,
        null,
      );
      expect(part.result).toEqual(all.slice(from * outRows, (from + rows) * outRows));
    }
  });
});

it("linear unpacks in parts, or not at all, when rows are too long for scratch", () => {
  // 256 KiB hold 6 rows of 10 000 columns, and not two of 40 000.
  for (const cols of [10_001, 40_001]) {
    next = FIRST_FREE;
    const shape = { type: "bf16", cols, outRows: 9, rows: 6 } as const;
    const { result, expected, magnitude } = multiply(
      storeWeight("bf16", 9, cols),
      noise(6 * cols, 1),
      shape,
      null,
      null,
    );
    const worst = Math.max(...result.map((v, i) => Math.abs(v - expected[i]!) / magnitude[i]!));
    expect(worst).toBeLessThanOrEqual(tolerance.linearKernel.max);
  }
});

describe("quantizeWeights", () => {
  it.each(["f32", "f16", "bf16"] as const)("is within half a step of every %s weight", (type) => {
    const [rows, cols] = [19, 71];
    next = FIRST_FREE;
    const { w: source, exact } = storeWeight(type, rows, cols);
    const stride = weightStride(cols, "q8");
    const codes = place(rows * stride);
    const scales = place((rows * stride) / 8);
    run("quantizeWeights", writeQuantizeWeightsParams(view, PARAMS, { source, type, codes, scales, rows, cols }));
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < cols; c++) {
        const group = exact.subarray(r * cols + (c & ~31), r * cols + Math.min(cols, (c & ~31) + 32));
        const scale = view.getFloat32(scales + ((r * stride) / 32 + (c >> 5)) * 4, true);
        expect(scale).toBe(Math.fround(Math.max(...group.map(Math.abs)) / 127));
        const code = view.getInt8(codes + r * stride + c);
        // Half a step, and 127 times the rounding of the scale and its reciprocal (2⁻²³ each).
        expect(Math.abs(code - exact[r * cols + c]! / scale)).toBeLessThanOrEqual(0.5 + 127 * 2 ** -22);
      }
    }
  });

  it("rounds ties to even, and gives zeros the scale 0", () => {
    next = FIRST_FREE;
    const source = placeF32([127, 0.5, 1.5, 2.5, -0.5, -1.5, -127, ...new Array(25).fill(0), ...new Array(32).fill(0)]);
    const codes = place(64);
    const scales = place(8);
    run(
      "quantizeWeights",
      writeQuantizeWeightsParams(view, PARAMS, { source, type: "f32", codes, scales, rows: 1, cols: 64 }),
    );
    expect([...new Int8Array(memory.buffer, codes, 7)]).toEqual([127, 0, 2, 2, 0, -2, -127]);
    expect([...f32At(scales, 2)]).toEqual([1, 0]);
  });
});

describe("quantizeActivations", () => {
  it("takes the whole range, pads with zeros, and keeps a NaN visible", () => {
    next = FIRST_FREE;
    const x = placeF32([1, -1, 0.25, Number.NaN, 1, 2, 0, 0, 0]);
    const codes = place(3 * 32 * 2);
    const scales = place(12);
    run("quantizeActivations", writeQuantizeActivationsParams(view, PARAMS, { x, codes, scales, rows: 3, cols: 3 }));
    const got = [...new Int16Array(memory.buffer, codes, 96)];
    expect(got.slice(0, 32)).toEqual([32767, -32767, 8192, ...new Array(29).fill(0)]);
    expect(got.slice(64)).toEqual(new Array(32).fill(0));
    expect([...f32At(scales, 3)]).toEqual([Math.fround(1 / 32767), Number.NaN, 0]);
  });
});

describe("elementwise", () => {
  it.each(TYPES)("embed gives rows of %s exactly", (type) => {
    for (const cols of [1, 7, 33, 64]) {
      next = FIRST_FREE;
      const { w, wScale, exact } = storeWeight(type, 5, cols);
      const tokens = place(12);
      new Int32Array(memory.buffer, tokens, 3).set([4, 0, 4]);
      const out = place(12 * cols);
      run("embed", writeEmbedParams(view, PARAMS, { w, wScale, tokens, out, rows: 3, cols, type }));
      const row = (r: number): number[] => [...exact.subarray(r * cols, (r + 1) * cols)];
      expect([...f32At(out, 3 * cols)]).toEqual([...row(4), ...row(0), ...row(4)]);
    }
  });

  it("rmsNorm agrees with f64, also in place", () => {
    for (const cols of [1, 7, 16, 33, 1000]) {
      next = FIRST_FREE;
      const [rows, eps] = [3, 1e-5];
      const values = noise(rows * cols, cols);
      const weights = noise(cols, 5);
      const x = placeF32(values);
      run("rmsNorm", writeRmsNormParams(view, PARAMS, { x, weight: placeF32(weights), out: x, rows, cols, eps }));
      f32At(x, rows * cols).forEach((v, i) => {
        const row = values.subarray(i - (i % cols), i - (i % cols) + cols);
        const mean = row.reduce((sum, a) => sum + a * a, 0) / cols;
        const expected = (values[i]! / Math.sqrt(mean + eps)) * weights[i % cols]!;
        expect(Math.abs(v - expected)).toBeLessThanOrEqual(tolerance.elementwiseKernel.max * Math.abs(expected));
      });
    }
  });

  it("swiglu agrees with f64 from −80 to 80", () => {
    for (const width of [1, 6, 161]) {
      next = FIRST_FREE;
      const values = noise(2 * 2 * width, width).map((v, i) => (i % (2 * width) < width ? v * 80 : v));
      const out = place(2 * width * 4);
      run("swiglu", writeSwigluParams(view, PARAMS, { gateUp: placeF32(values), out, rows: 2, width }));
      f32At(out, 2 * width).forEach((v, i) => {
        const gate = values[Math.floor(i / width) * 2 * width + (i % width)]!;
        const up = values[Math.floor(i / width) * 2 * width + width + (i % width)]!;
        const expected = (gate / (1 + Math.exp(-gate))) * up;
        expect(Math.abs(v - expected)).toBeLessThanOrEqual(tolerance.elementwiseKernel.max * Math.abs(expected));
      });
    }
  });

  it("gatherRows copies rows", () => {
    next = FIRST_FREE;
    const x = placeF32([0, 1, 2, 3, 4, 5]);
    const indices = place(12);
    new Int32Array(memory.buffer, indices, 3).set([1, 1, 0]);
    const out = place(36);
    run("gatherRows", writeGatherRowsParams(view, PARAMS, { x, indices, out, rows: 3, width: 3 }));
    expect([...f32At(out, 9)]).toEqual([3, 4, 5, 3, 4, 5, 0, 1, 2]);
  });
});
