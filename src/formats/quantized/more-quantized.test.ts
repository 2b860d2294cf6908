/** @file The rarer kinds of quantized checkpoints: other widths, orders of inputs, zero points, FP4, and configs that tell of several. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openQuantized, pack, type Tensors, transposed } from "../../../test/support/quantized-file.ts";
import { toFloat16Bits } from "../../math/float16.ts";
import { CounterRng } from "../../math/rng.ts";
import { weightFormat } from "../../weights/registry.ts";

const [ROWS, COLS, GROUP] = [8, 64, 32];
const GROUPS = COLS / GROUP;
const rng = new CounterRng(11, 0);
const draw = (below: number, i: number): number => Math.floor(rng.uniform(i) * below);
/** Powers of two, which every float holds, so that a value is right to the bit or wrong. */
const scale = (r: number, g: number): number => 2 ** (draw(6, 7000 + r * GROUPS + g) - 8);
const code = (bits: number) => (r: number, c: number) => draw(2 ** bits, r * COLS + c);
const zero = (bits: number) => (r: number, g: number) => (r === 1 ? 0 : draw(2 ** bits, 5000 + r * GROUPS + g));
const grid = (value: (r: number, c: number) => number): Float32Array =>
  Float32Array.from({ length: ROWS * COLS }, (_, i) => value(Math.floor(i / COLS), i % COLS));
const groupOf = (c: number): number => Math.floor(c / GROUP);
const affine = (bits: number, zeroOf = zero(bits)) =>
  grid((r, c) => scale(r, groupOf(c)) * (code(bits)(r, c) - zeroOf(r, groupOf(c))));
const byRow = <T>(value: (r: number, g: number) => T): T[] =>
  Array.from({ length: ROWS * GROUPS }, (_, i) => value(Math.floor(i / GROUPS), i % GROUPS));
const byGroup = (value: (r: number, g: number) => number): number[] =>
  Array.from({ length: ROWS * GROUPS }, (_, i) => value(i % ROWS, Math.floor(i / ROWS)));
const halves = (values: readonly number[]): Uint16Array => Uint16Array.from(values, toFloat16Bits);

async function read(config: object, tensors: Tensors, files?: Record<string, object>) {
  const checkpoint = await openQuantized(config, tensors, files);
  const [info] = [...(await checkpoint.tensors()).values()];
  const bytes = await checkpoint.read(info!.name);
  expect(bytes.length).toBe(info!.numBytes);
  const [cols, rows] = [info!.shape.at(-1)!, info!.shape.slice(0, -1).reduce((a, b) => a * b, 1)];
  const out = new Float32Array(rows * cols);
  weightFormat(info!.dtype).dequantize(bytes, rows, cols, out);
  return { name: info!.name, dtype: info!.dtype, shape: info!.shape, out };
}

/** Values that are rounded to 8 bits in groups of 32: to half a step. */
function expectNear(out: Float32Array, expected: Float32Array): void {
  for (let start = 0; start < expected.length; start += 32) {
    const own = expected.subarray(start, start + 32);
    const step = own.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0) / 127;
    for (const [i, value] of own.entries())
      expect(Math.abs(out[start + i]! - value)).toBeLessThanOrEqual(0.5001 * step + 1e-12);
  }
}

describe("gptq", () => {
  const tensors = (bits: number, stored: (r: number, g: number) => number, order = groupOf): Tensors => ({
    "a.qweight": {
      dtype: "I32",
      shape: [(COLS * bits) / 32, ROWS],
      data: transposed(pack(ROWS, COLS, bits, code(bits)), ROWS),
    },
    "a.qzeros": {
      dtype: "I32",
      shape: [GROUPS, Math.ceil((ROWS * bits) / 32)],
      data: pack(GROUPS, ROWS, bits, (g, r) => stored(r, g)),
    },
    "a.scales": { dtype: "F16", shape: [GROUPS, ROWS], data: halves(byGroup(scale)) },
    "a.g_idx": { dtype: "I32", shape: [COLS], data: Int32Array.from({ length: COLS }, (_, c) => order(c)) },
  });
  const config = (bits: number, more: object = {}) => ({
    quantization_config: { quant_method: "gptq", bits, group_size: GROUP, ...more },
  });

  it.each([2, 3, 4])("%i bits keep their codes; a zero of 0 is stored as the largest", async (bits) => {
    const stored = (r: number, g: number): number => (zero(bits)(r, g) - 1) & (2 ** bits - 1);
    expect(await read(config(bits), tensors(bits, stored))).toMatchObject({ dtype: "q4", out: affine(bits) });
    const second = config(bits, { checkpoint_format: "gptq_v2" });
    expect((await read(second, tensors(bits, zero(bits)))).out).toEqual(affine(bits));
  });

  it("8 bits are exact where the codes less their zero are int8", async () => {
    const middle = () => 128;
    const symmetric = await read(
      config(8, { sym: true }),
      tensors(8, () => 127),
    );
    expect(symmetric).toMatchObject({ dtype: "q8", out: affine(8, middle) });
    const any = await read(
      config(8),
      tensors(8, (r, g) => (zero(8)(r, g) - 1) & 255),
    );
    expectNear(any.out, affine(8));
  });

  it("desc_act with inputs in order keeps its codes", async () => {
    const stored = (r: number, g: number): number => (zero(4)(r, g) - 1) & 15;
    expect((await read(config(4, { desc_act: true }), tensors(4, stored))).dtype).toBe("q4");
  });

  it("bits and groups of single weights (dynamic), and settings in quantize_config.json", async () => {
    const stored = (r: number, g: number): number => (zero(4)(r, g) - 1) & 15;
    const dynamic = { "+:.*": { bits: 4, group_size: GROUP }, "-:b": {} };
    const own = config(8, { group_size: 64, dynamic });
    expect((await read(own, tensors(4, stored))).out).toEqual(affine(4));
    const files = { "quantize_config.json": { bits: 4, group_size: GROUP, desc_act: false, sym: false } };
    expect((await read({}, tensors(4, stored), files)).out).toEqual(affine(4));
  });
});

/** Values of an array of this shape with its axes in another order. */
function reordered(values: readonly number[], shape: readonly number[], axes: readonly number[]): number[] {
  const steps = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  return values.map((_, i) => {
    let [rest, at] = [i, 0];
    for (const axis of axes.toReversed()) {
      at += (rest % shape[axis]!) * steps[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    return values[at]!;
  });
}

describe("awq, in the layouts of its kernels for single rows", () => {
  const config = (version: string, more: object = {}) => ({
    quantization_config: { quant_method: "awq", bits: 4, group_size: GROUP, version, ...more },
  });
  /** Groups in whole words, and four words at a time for groups of 32. */
  const PLACES = 32;
  const padded = (value: (r: number, g: number) => number) => (r: number, g: number) => (g < GROUPS ? value(r, g) : 0);
  const gemv: Tensors = {
    "a.qweight": { dtype: "I32", shape: [ROWS, COLS / 8], data: pack(ROWS, COLS, 4, code(4)) },
    "a.qzeros": { dtype: "I32", shape: [ROWS, PLACES / 8], data: pack(ROWS, PLACES, 4, padded(zero(4))) },
    "a.scales": {
      dtype: "F16",
      shape: [ROWS, PLACES],
      data: halves(Array.from({ length: ROWS * PLACES }, (_, i) => padded(scale)(Math.floor(i / PLACES), i % PLACES))),
    },
  };

  it("gemv", async () => {
    expect(await read(config("GEMV"), gemv)).toMatchObject({ dtype: "q4", shape: [ROWS, COLS], out: affine(4) });
  });

  it("gemv_fast, packed by AutoAWQ's steps: axes of runs of 32 and of 8 inputs, and of four outputs, change places", async () => {
    const rows = Array.from({ length: ROWS * COLS }, (_, i) => code(4)(Math.floor(i / COLS), i % COLS));
    const pairs = reordered(rows, [rows.length / 32, 4, 4, 2], [0, 2, 1, 3]);
    const halved = reordered(pairs, [rows.length / 8, 4, 2], [0, 2, 1]);
    const fours = reordered(halved, [ROWS / 4, 4, COLS / 64, 64], [0, 2, 1, 3]);
    const words = new Int16Array(rows.length / 4);
    for (const [i, value] of fours.entries()) words[i >> 2] = words[i >> 2]! | (value << (4 * (i & 3)));
    const lines = (value: (r: number, g: number) => number): Uint16Array =>
      halves(Array.from({ length: PLACES * ROWS }, (_, i) => padded(value)(i % ROWS, Math.floor(i / ROWS))));
    const fast: Tensors = {
      "a.qweight": { dtype: "I16", shape: [ROWS / 4, COLS], data: words },
      "a.scales": { dtype: "F16", shape: [PLACES, ROWS], data: lines(scale) },
      "a.scaled_zeros": {
        dtype: "F16",
        shape: [PLACES, ROWS],
        data: lines((r, g) => -scale(r, g) * zero(4)(r, g)),
      },
    };
    expect(await read(config("gemv_fast"), fast)).toMatchObject({ dtype: "q4", out: affine(4) });
  });

  it.each<[string, object, RegExp]>([
    [
      "another layout",
      config("marlin"),
      /a\.qweight: quantization_config\.version: expected gemm or gemv or gemv_fast, got "marlin"/,
    ],
    ["a layout of other tensors", config("gemv_fast"), /a\.scaled_zeros: expected it beside qweight, qzeros, scales/],
    ["a layout of other shapes", config("gemm"), /a\.qweight: expected \[8,4\]/],
    ["other groups", config("gemv", { group_size: 64 }), /a\.scales: expected \[8,16\] for 64 inputs in groups of 64/],
    [
      "groups that no kernel has",
      config("gemv", { group_size: 16 }),
      /a\.scales: expected whole groups of 32, 64 or from 128 on/,
    ],
    ["three bits", config("gemv", { bits: 3 }), /a\.qweight: expected 4 bits, got 3/],
    ["eight bits", config("gemm", { bits: 8 }), /a\.qweight: expected 4 bits, got 8/],
  ])("refuses %s", async (_, settings, message) => {
    await expect(read(settings, gemv)).rejects.toThrow(message);
  });
});

describe("compressed-tensors", () => {
  const config = (weights: object, format = "pack-quantized") => ({
    quantization_config: { quant_method: "compressed-tensors", format, config_groups: { group_0: { weights } } },
  });
  const shape = { dtype: "I64", shape: [2], data: BigInt64Array.of(BigInt(ROWS), BigInt(COLS)) };
  const scales = { dtype: "F32", shape: [ROWS, GROUPS], data: Float32Array.from(byRow(scale)) };
  const packed = (bits: number, more: Tensors = {}): Tensors => ({
    "a.weight_packed": { dtype: "I32", shape: [ROWS, (COLS * bits) / 32], data: pack(ROWS, COLS, bits, code(bits)) },
    "a.weight_scale": scales,
    "a.weight_shape": shape,
    ...more,
  });

  it.each([2, 3, 4, 8])("%i bits, zero points packed, as int8, or none", async (bits) => {
    const weights = { num_bits: bits, type: "int", strategy: "group", group_size: GROUP };
    const middle = 2 ** (bits - 1);
    const none = await read(config(weights), packed(bits));
    expect(none).toMatchObject({ dtype: bits === 8 ? "q8" : "q4", out: affine(bits, () => middle) });
    const words = pack(GROUPS, ROWS, bits, (g, r) => zero(bits)(r, g));
    const perGroup = words.length / GROUPS;
    const own = { dtype: "I32", shape: [perGroup, GROUPS], data: transposed(words, GROUPS) };
    const asymmetric = await read(config(weights), packed(bits, { "a.weight_zero_point": own }));
    const int8 = Int8Array.from(byRow(zero(bits)), (value) => value - middle);
    const plain = { dtype: "I8", shape: [ROWS, GROUPS], data: int8 };
    const unpacked = await read(config(weights), packed(bits, { "a.weight_zero_point": plain }));
    expect(unpacked.out).toEqual(asymmetric.out);
    if (bits === 8) expectNear(asymmetric.out, affine(bits));
    else expect(asymmetric.out).toEqual(affine(bits));
  });

  it("inputs in an order of their own (actorder)", async () => {
    const weights = { num_bits: 4, type: "int", strategy: "group", group_size: GROUP, actorder: "group" };
    const order = (groups: (c: number) => number): Tensors => ({
      "a.weight_g_idx": { dtype: "I32", shape: [COLS], data: Int32Array.from({ length: COLS }, (_, c) => groups(c)) },
    });
    const mixed = await read(
      config(weights),
      packed(
        4,
        order((c) => c % GROUPS),
      ),
    );
    expectNear(
      mixed.out,
      grid((r, c) => scale(r, c % GROUPS) * (code(4)(r, c) - 8)),
    );
    const unset = await read(
      config(weights),
      packed(
        4,
        order(() => -1),
      ),
    );
    expect(unset).toMatchObject({ dtype: "q4", out: affine(4, () => 8) });
  });

  it("several groups of settings: the words of a row tell which", async () => {
    const groups = [8, 4].map((num_bits) => ({
      weights: { num_bits, type: "int", strategy: "group", group_size: GROUP },
    }));
    const own = { quant_method: "compressed-tensors", format: "mixed-precision", config_groups: { ...groups } };
    expect((await read({ quantization_config: own }, packed(4))).out).toEqual(affine(4, () => 8));
  });

  it("modules that `ignore` names by a pattern are plain, whatever the groups target", async () => {
    const weights = { num_bits: 4, type: "int", strategy: "group", group_size: GROUP };
    const own = { ...config(weights).quantization_config, ignore: ["lm_head", "re:.*gate$"] };
    const plain = (rows: number) => ({ dtype: "F32", shape: [rows, 2], data: new Float32Array(2 * rows).fill(3) });
    const checkpoint = await openQuantized(
      { quantization_config: own },
      { ...packed(4), "b.mlp.gate.weight": plain(2), "lm_head.weight": plain(4) },
    );
    const types = Array.from((await checkpoint.tensors()).values(), ({ name, dtype }) => [name, dtype]);
    expect(Object.fromEntries(types)).toEqual({
      "a.weight": "q4",
      "b.mlp.gate.weight": "f32",
      "lm_head.weight": "f32",
    });
    expect(new Float32Array((await checkpoint.read("b.mlp.gate.weight")).slice().buffer)).toEqual(plain(2).data);
  });

  it("int8 with zero points; fp8 for the whole matrix, by output and by group, with scales of activations", async () => {
    const signed = Int8Array.from({ length: ROWS * COLS }, (_, i) => draw(256, i) - 128);
    const zeros = Int8Array.from({ length: ROWS }, (_, r) => draw(21, 300 + r) - 10);
    const int8 = await read(config({ num_bits: 8, type: "int", strategy: "channel" }, "int-quantized"), {
      "a.weight": { dtype: "I8", shape: [ROWS, COLS], data: signed },
      "a.weight_scale": { dtype: "F32", shape: [ROWS, 1], data: new Float32Array(ROWS).fill(0.5) },
      "a.weight_zero_point": { dtype: "I8", shape: [ROWS, 1], data: zeros },
    });
    expectNear(
      int8.out,
      grid((r, c) => 0.5 * (signed[r * COLS + c]! - zeros[r]!)),
    );
    // 0x38 is 1, 0x40 is 2.
    const data = Uint8Array.from({ length: ROWS * COLS }, (_, i) => (i % 2 ? 0x38 : 0x40));
    const fp8 = (shape: number[], values: number[]): Tensors => ({
      "a.weight": { dtype: "F8_E4M3", shape: [ROWS, COLS], data },
      "a.weight_scale": { dtype: "F32", shape, data: Float32Array.from(values) },
      "a.input_scale": { dtype: "F32", shape: [1], data: Float32Array.of(3) },
    });
    const settings = config({ num_bits: 8, type: "float" }, "float-quantized");
    const base = (c: number): number => (c % 2 ? 1 : 2);
    for (const shape of [[], [1]])
      expectNear(
        (await read(settings, fp8(shape, [0.25]))).out,
        grid((_, c) => base(c) / 4),
      );
    const rows = Array.from({ length: ROWS }, (_, r) => r + 1);
    for (const shape of [[ROWS], [ROWS, 1]])
      expectNear(
        (await read(settings, fp8(shape, rows))).out,
        grid((r, c) => base(c) * (r + 1)),
      );
    expectNear(
      (await read(settings, fp8([ROWS, GROUPS], byRow(scale)))).out,
      grid((r, c) => base(c) * scale(r, groupOf(c))),
    );
  });
});

const FP4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
// Zero has no sign here.
const fp4 = (bits: number): number => (bits & 8 ? -1 : 1) * FP4[bits & 7]! + 0;
const nibbles = Uint8Array.from({ length: (ROWS * COLS) / 2 }, (_, i) => draw(256, 20_000 + i));
const nibble = (r: number, c: number): number => {
  const byte = nibbles[(r * COLS + c) >> 1]!;
  return c & 1 ? byte >> 4 : byte & 15;
};

describe("fp4", () => {
  it("nvfp4: FP8 scales of 16 values, divided by the matrix's in compressed-tensors and multiplied with it in modelopt", async () => {
    // 0x38 to 0x3f are 1 to 1.875.
    const bytes = Uint8Array.from({ length: (ROWS * COLS) / 16 }, (_, i) => 0x38 + (i % 8));
    const expected = grid((r, c) => fp4(nibble(r, c)) * (1 + (((r * COLS + c) >> 4) % 8) / 8) * 0.125);
    const scales = { dtype: "F8_E4M3", shape: [ROWS, COLS / 16], data: bytes };
    const method = (quant_method: string) => ({
      quantization_config: { quant_method, format: "nvfp4-pack-quantized" },
    });
    const compressed = await read(method("compressed-tensors"), {
      "a.weight_packed": { dtype: "U8", shape: [ROWS, COLS / 2], data: nibbles },
      "a.weight_scale": scales,
      "a.weight_global_scale": { dtype: "F32", shape: [1], data: Float32Array.of(8) },
      "a.input_global_scale": { dtype: "F32", shape: [1], data: Float32Array.of(3) },
    });
    expectNear(compressed.out, expected);
    const modelopt = await read(method("modelopt"), {
      "a.weight": { dtype: "U8", shape: [ROWS, COLS / 2], data: nibbles },
      "a.weight_scale": scales,
      "a.weight_scale_2": { dtype: "F32", shape: [], data: Float32Array.of(0.125) },
    });
    expect(modelopt.out).toEqual(compressed.out);
  });

  it("mxfp4, exactly: a matrix of compressed-tensors, and experts as gpt-oss has them", async () => {
    const exponents = Uint8Array.from({ length: (ROWS * COLS) / 32 }, (_, i) => 120 + (i % 10));
    const expected = grid((r, c) => fp4(nibble(r, c)) * 2 ** (exponents[(r * COLS + c) >> 5]! - 127));
    const method = (quant_method: string) => ({
      quantization_config: { quant_method, format: "mxfp4-pack-quantized" },
    });
    const matrix = await read(method("compressed-tensors"), {
      "a.weight_packed": { dtype: "U8", shape: [ROWS, COLS / 2], data: nibbles },
      "a.weight_scale": { dtype: "U8", shape: [ROWS, GROUPS], data: exponents },
    });
    expect(matrix).toMatchObject({ name: "a.weight", dtype: "mxfp4", shape: [ROWS, COLS], out: expected });
    const experts = await read(method("mxfp4"), {
      "a.experts.gate_up_proj_blocks": { dtype: "U8", shape: [2, ROWS / 2, GROUPS, 16], data: nibbles },
      "a.experts.gate_up_proj_scales": { dtype: "U8", shape: [2, ROWS / 2, GROUPS], data: exponents },
    });
    const name = "a.experts.gate_up_proj";
    expect(experts).toMatchObject({ name, dtype: "mxfp4", shape: [2, ROWS / 2, COLS], out: expected });
  });
});

interface MlxCase {
  settings: { bits: number; group_size: number; mode: string };
  parts: Record<string, { dtype: string; shape: number[]; data: string }>;
  values: string;
}
const mlx: MlxCase[] = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/mlx/quantized.json", import.meta.url), "utf8"),
);
const decoded = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "base64"));

describe("mlx, against what MLX itself reads back", () => {
  it.each(mlx)("$settings", async ({ settings, parts, values }) => {
    const tensors = Object.fromEntries(
      Object.entries(parts).map(([name, { dtype, shape, data }]) => [
        `a.${name}`,
        { dtype, shape, data: decoded(data) },
      ]),
    );
    const expected = new Float32Array(decoded(values).buffer).map((value) => value + 0);
    const own = await read({ quantization: { bits: 8, group_size: 128, a: settings } }, tensors);
    if (settings.mode === "mxfp4") expect(own).toMatchObject({ dtype: "mxfp4", out: expected });
    else if (settings.mode !== "affine" || settings.bits > 4) expectNear(own.out, expected);
    else {
      expect(own.dtype).toBe("q4");
      for (const [i, value] of expected.entries()) expect(Math.abs(own.out[i]! - value)).toBeLessThan(2e-3);
    }
  });
});

describe("refused by name", () => {
  const packed: Tensors = {
    "a.weight_packed": { dtype: "I32", shape: [ROWS, COLS / 8], data: pack(ROWS, COLS, 4, code(4)) },
    "a.weight_scale": { dtype: "F32", shape: [ROWS, GROUPS], data: Float32Array.from(byRow(scale)) },
    "a.weight_shape": { dtype: "I64", shape: [2], data: BigInt64Array.of(BigInt(ROWS), BigInt(COLS)) },
  };
  const compressed = (more: object, weights: object = { num_bits: 4, group_size: GROUP }) => ({
    quantization_config: { quant_method: "compressed-tensors", config_groups: { group_0: { weights } }, ...more },
  });
  it.each<[string, object, Tensors, RegExp]>([
    [
      "a layout",
      compressed({ format: "marlin-24" }),
      packed,
      /a\.weight_packed: quantization_config\.format: .*marlin-24/,
    ],
    [
      "other bits than packed",
      compressed({}, { num_bits: 8 }),
      packed,
      /a\.weight_packed: expected codes of 8 bits.*\[8,8\]/,
    ],
    [
      "other groups",
      compressed({}, { num_bits: 4, group_size: 64 }),
      packed,
      /a\.weight_scale: expected groups of 64 inputs, got 32/,
    ],
    [
      "a module that is left out",
      compressed({ ignore: ["a"] }),
      packed,
      /a\.weight_packed: expected a plain weight, as config\.json leaves a out/,
    ],
    [
      "a method nobody has",
      { quantization_config: { quant_method: "gargoyle" } },
      packed,
      /quantization_config\.quant_method: expected one of gptq.*got "gargoyle"/,
    ],
    [
      "fp8 without scales",
      { quantization_config: { quant_method: "fp8" } },
      {
        "a.weight": { dtype: "F8_E4M3", shape: [1, 32], data: new Uint8Array(32) },
        "a.input_scale": { dtype: "F32", shape: [1], data: Float32Array.of(1) },
      },
      /a\.weight_scale: expected it beside/,
    ],
    [
      "an order of rows of GPUs",
      { quantization_config: { quant_method: "bitsandbytes" } },
      {
        "a.weight": { dtype: "I8", shape: [1, 32], data: new Int8Array(32) },
        "a.SCB": { dtype: "F32", shape: [1], data: Float32Array.of(1) },
        "a.weight_format": { dtype: "U8", shape: [], data: Uint8Array.of(2) },
      },
      /a\.weight_format: expected rows one after the other/,
    ],
  ])("%s", async (_, config, tensors, message) => {
    const reading = read(config, tensors);
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toMatchObject({ name: "TurboQuantError" });
  });
});
