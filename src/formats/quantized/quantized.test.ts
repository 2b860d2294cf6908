/** @file Quantized checkpoints, packed here as their makers describe it: values are those that codes, zeros and scales stand for. */
import { describe, expect, it } from "vitest";
import { openQuantized, pack, type Tensors, transposed } from "../../../test/support/quantized-file.ts";
import { toFloat16Bits } from "../../math/float16.ts";
import { CounterRng } from "../../math/rng.ts";
import { weightFormat } from "../../weights/registry.ts";

const ROWS = 16;
const COLS = 64;
const GROUP = 32;
const GROUPS = COLS / GROUP;

async function valuesOf(config: object, tensors: Tensors) {
  const checkpoint = await openQuantized(config, {
    ...tensors,
    "a.norm.weight": { dtype: "F32", shape: [2], data: Float32Array.of(1, 2) },
  });
  const infos = await checkpoint.tensors();
  expect([...infos.keys()].sort()).toEqual(["a.norm.weight", "a.proj.weight"]);
  expect(infos.get("a.norm.weight")).toMatchObject({ dtype: "f32", shape: [2] });
  const info = infos.get("a.proj.weight")!;
  expect(info.shape).toEqual([ROWS, COLS]);
  const bytes = await checkpoint.read("a.proj.weight");
  expect(bytes.length).toBe(info.numBytes);
  expect(await checkpoint.read("a.proj.weight", 3, 50)).toEqual(bytes.subarray(3, 50));
  const out = new Float32Array(ROWS * COLS);
  weightFormat(info.dtype).dequantize(bytes, ROWS, COLS, out);
  return { dtype: info.dtype, out };
}

const rng = new CounterRng(5, 0);
const draw = (below: number, i: number): number => Math.floor(rng.uniform(i) * below);
const codes = Array.from({ length: ROWS * COLS }, (_, i) => draw(16, i));
const bytes = Array.from({ length: ROWS * COLS }, (_, i) => draw(256, i));
const zeros = Array.from({ length: ROWS * GROUPS }, (_, i) => 1 + draw(15, 5000 + i));
/** Powers of two, which every float holds, so that a value is right to the bit or wrong. */
const scales = Array.from({ length: ROWS * GROUPS }, (_, i) => 2 ** (draw(6, 7000 + i) - 8));
const code = (r: number, c: number): number => codes[r * COLS + c]!;
const zero = (r: number, g: number): number => zeros[r * GROUPS + g]!;
const scale = (r: number, g: number): number => scales[r * GROUPS + g]!;
const grid = (value: (r: number, c: number) => number): Float32Array =>
  Float32Array.from({ length: ROWS * COLS }, (_, i) => value(Math.floor(i / COLS), i % COLS));
const affine = grid((r, c) => scale(r, Math.floor(c / GROUP)) * (code(r, c) - zero(r, Math.floor(c / GROUP))));

const halves = (values: readonly number[]): Uint16Array => Uint16Array.from(values, toFloat16Bits);
const byGroup = (value: (r: number, g: number) => number): number[] =>
  Array.from({ length: GROUPS * ROWS }, (_, i) => value(i % ROWS, Math.floor(i / ROWS)));

function gptqTensors(
  stored = (r: number, g: number): number => zero(r, g) - 1,
  groupOf = (c: number) => Math.floor(c / GROUP),
): Tensors {
  return {
    "a.proj.qweight": { dtype: "I32", shape: [COLS / 8, ROWS], data: transposed(pack(ROWS, COLS, 4, code), ROWS) },
    "a.proj.qzeros": { dtype: "I32", shape: [GROUPS, ROWS / 8], data: pack(GROUPS, ROWS, 4, (g, r) => stored(r, g)) },
    "a.proj.scales": { dtype: "F16", shape: [GROUPS, ROWS], data: halves(byGroup(scale)) },
    "a.proj.g_idx": { dtype: "I32", shape: [COLS], data: Int32Array.from({ length: COLS }, (_, c) => groupOf(c)) },
  };
}
const gptqConfig = { quantization_config: { quant_method: "gptq", bits: 4, group_size: GROUP, desc_act: false } };

describe("four bits with zeros, exactly", () => {
  it("gptq, zeros stored less one, and as they are in version 2", async () => {
    expect(await valuesOf(gptqConfig, gptqTensors())).toEqual({ dtype: "q4", out: affine });
    const config = { quantization_config: { ...gptqConfig.quantization_config, checkpoint_format: "gptq_v2" } };
    expect((await valuesOf(config, gptqTensors(zero))).out).toEqual(affine);
  });

  it("awq, outputs in its order", async () => {
    const order = (i: number): number => [0, 4, 1, 5, 2, 6, 3, 7][i]!;
    const { dtype, out } = await valuesOf(
      { quantization_config: { quant_method: "awq", bits: 4, group_size: GROUP, version: "gemm" } },
      {
        "a.proj.qweight": {
          dtype: "I32",
          shape: [COLS, ROWS / 8],
          data: pack(COLS, ROWS, 4, (c, r) => code(r, c), order),
        },
        "a.proj.qzeros": {
          dtype: "I32",
          shape: [GROUPS, ROWS / 8],
          data: pack(GROUPS, ROWS, 4, (g, r) => zero(r, g), order),
        },
        "a.proj.scales": { dtype: "F16", shape: [GROUPS, ROWS], data: halves(byGroup(scale)) },
      },
    );
    expect(dtype).toBe("q4");
    expect(out).toEqual(affine);
  });

  it.each([true, false])("compressed-tensors, symmetric: %s", async (symmetric) => {
    const weights = { num_bits: 4, type: "int", symmetric, strategy: "group", group_size: GROUP };
    const { out } = await valuesOf(
      {
        quantization_config: {
          quant_method: "compressed-tensors",
          format: "pack-quantized",
          config_groups: { group_0: { weights } },
        },
      },
      {
        "a.proj.weight_packed": { dtype: "I32", shape: [ROWS, COLS / 8], data: pack(ROWS, COLS, 4, code) },
        "a.proj.weight_scale": { dtype: "F32", shape: [ROWS, GROUPS], data: Float32Array.from(scales) },
        "a.proj.weight_shape": { dtype: "I64", shape: [2], data: BigInt64Array.of(16n, 64n) },
        ...(!symmetric && {
          "a.proj.weight_zero_point": {
            dtype: "I32",
            shape: [ROWS / 8, GROUPS],
            data: transposed(
              pack(GROUPS, ROWS, 4, (g, r) => zero(r, g)),
              GROUPS,
            ),
          },
        }),
      },
    );
    const middle = grid((r, c) => scale(r, Math.floor(c / GROUP)) * (code(r, c) - 8));
    expect(out).toEqual(symmetric ? middle : affine);
  });

  it("mlx, with biases; a weight of another group size has settings of its own", async () => {
    const bias = (r: number, g: number): number => -scale(r, g) * zero(r, g);
    const tensors = {
      "a.proj.weight": { dtype: "U32", shape: [ROWS, COLS / 8], data: pack(ROWS, COLS, 4, code) },
      "a.proj.scales": { dtype: "F16", shape: [ROWS, GROUPS], data: halves(scales) },
      "a.proj.biases": {
        dtype: "F16",
        shape: [ROWS, GROUPS],
        data: halves(scales.map((_, i) => bias(Math.floor(i / GROUPS), i % GROUPS))),
      },
    };
    expect((await valuesOf({ quantization: { bits: 4, group_size: GROUP } }, tensors)).out).toEqual(affine);
    const own = { quantization: { bits: 8, group_size: 64, "a.proj": { bits: 4, group_size: GROUP } } };
    expect((await valuesOf(own, tensors)).out).toEqual(affine);
  });
});

describe("eight bits", () => {
  const signed = Int8Array.from(bytes, (byte) => byte - 128);

  it("int8 by output, exactly: compressed-tensors and bitsandbytes", async () => {
    const expected = grid((r, c) => signed[r * COLS + c]! * scale(r, 0));
    const byRow = Float32Array.from({ length: ROWS }, (_, r) => scale(r, 0));
    const compressed = await valuesOf(
      { quantization_config: { quant_method: "compressed-tensors", format: "int-quantized" } },
      {
        "a.proj.weight": { dtype: "I8", shape: [ROWS, COLS], data: signed },
        "a.proj.weight_scale": { dtype: "F32", shape: [ROWS, 1], data: byRow },
      },
    );
    expect(compressed).toEqual({ dtype: "q8", out: expected });
    const bnb = await valuesOf(
      { quantization_config: { quant_method: "bitsandbytes", load_in_8bit: true } },
      {
        "a.proj.weight": { dtype: "I8", shape: [ROWS, COLS], data: signed },
        "a.proj.SCB": { dtype: "F32", shape: [ROWS], data: byRow.map((value) => value * 127) },
      },
    );
    expect(bnb).toEqual({ dtype: "q8", out: expected });
  });
});

/** Values that are rounded to 8 bits in groups of 32: to half a step. */
function expectNear(out: Float32Array, expected: Float32Array): void {
  for (let start = 0; start < expected.length; start += GROUP) {
    const own = expected.subarray(start, start + GROUP);
    const step = own.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0) / 127;
    for (const [i, value] of own.entries())
      expect(Math.abs(out[start + i]! - value)).toBeLessThanOrEqual(0.5001 * step);
  }
}

describe("what no format of ours holds is rounded to 8 bits", () => {
  it("fp8 by blocks and by output; its values are those of E4M3", async () => {
    const fp8 = (bits: number): number => {
      const [exponent, mantissa] = [(bits >> 3) & 15, bits & 7];
      return (bits & 128 ? -1 : 1) * (exponent === 0 ? mantissa / 512 : (1 + mantissa / 8) * 2 ** (exponent - 7));
    };
    const finite = Uint8Array.from(bytes, (byte) => ((byte & 127) === 127 ? 0 : byte));
    const values = (scaleOf: (r: number, c: number) => number) =>
      grid((r, c) => fp8(finite[r * COLS + c]!) * scaleOf(r, c));
    const weight = { dtype: "F8_E4M3", shape: [ROWS, COLS], data: finite };
    const blocks = Float32Array.from({ length: 4 }, (_, i) => 2 ** -i);
    const byBlocks = await valuesOf(
      { quantization_config: { quant_method: "fp8", weight_block_size: [8, 32] } },
      { "a.proj.weight": weight, "a.proj.weight_scale_inv": { dtype: "F32", shape: [2, 2], data: blocks } },
    );
    expectNear(
      byBlocks.out,
      values((r, c) => blocks[Math.floor(r / 8) * 2 + Math.floor(c / 32)]!),
    );
    const byOutput = await valuesOf(
      { quantization_config: { quant_method: "compressed-tensors", format: "float-quantized" } },
      {
        "a.proj.weight": weight,
        "a.proj.weight_scale": { dtype: "F32", shape: [ROWS, 1], data: Float32Array.from(scales.slice(0, ROWS)) },
      },
    );
    expectNear(
      byOutput.out,
      values((r) => scales[r]!),
    );
  });

  it("nf4, its scales themselves quantized or not", async () => {
    const map = Float32Array.from({ length: 16 }, (_, i) => (i - 7) / 8);
    const packed = Uint8Array.from({ length: codes.length / 2 }, (_, i) => (codes[2 * i]! << 4) | codes[2 * i + 1]!);
    const peaks = Float32Array.from({ length: 16 }, (_, i) => 1 + i / 4);
    const expected = Float32Array.from(codes, (value, i) => map[value]! * peaks[Math.floor(i / 64)]!);
    const state = (more: object) =>
      new TextEncoder().encode(JSON.stringify({ quant_type: "nf4", blocksize: 64, shape: [ROWS, COLS], ...more }));
    const tensors = (text: Uint8Array): Tensors => ({
      "a.proj.weight": { dtype: "U8", shape: [packed.length, 1], data: packed },
      "a.proj.weight.quant_map": { dtype: "F32", shape: [16], data: map },
      "a.proj.weight.quant_state.bitsandbytes__nf4": { dtype: "U8", shape: [text.length], data: text },
    });
    const config = { quantization_config: { quant_method: "bitsandbytes", load_in_4bit: true } };
    const single = { ...tensors(state({})), "a.proj.weight.absmax": { dtype: "F32", shape: [16], data: peaks } };
    expectNear((await valuesOf(config, single)).out, expected);
    const nested: Tensors = {
      ...tensors(state({ nested_blocksize: 8, nested_offset: 1 })),
      "a.proj.weight.absmax": { dtype: "U8", shape: [16], data: Uint8Array.from({ length: 16 }, (_, i) => i) },
      "a.proj.weight.nested_absmax": { dtype: "F32", shape: [2], data: Float32Array.of(1, 1) },
      "a.proj.weight.nested_quant_map": {
        dtype: "F32",
        shape: [256],
        data: Float32Array.from({ length: 256 }, (_, i) => i / 4),
      },
    };
    expectNear((await valuesOf(config, nested)).out, expected);
  });

  it("gptq with inputs out of order", async () => {
    const config = { quantization_config: { ...gptqConfig.quantization_config, desc_act: true } };
    const { dtype, out } = await valuesOf(
      config,
      gptqTensors(undefined, (c) => c % GROUPS),
    );
    expect(dtype).toBe("q8");
    expectNear(
      out,
      grid((r, c) => scale(r, c % GROUPS) * (code(r, c) - zero(r, c % GROUPS))),
    );
  });
});

describe("refused by name", () => {
  it.each<[string, object, Tensors, RegExp]>([
    [
      "codes of other bits than config.json says",
      { quantization_config: { ...gptqConfig.quantization_config, bits: 8 } },
      gptqTensors(),
      /a\.proj\.qweight: expected \[16,16\].*got \[8,16\]/,
    ],
    [
      "bits without a reader",
      { quantization_config: { ...gptqConfig.quantization_config, bits: 5 } },
      gptqTensors(),
      /qweight: expected 2, 3, 4, 8 bits, got 5/,
    ],
    [
      "groups of another size",
      { quantization_config: { ...gptqConfig.quantization_config, group_size: 64 } },
      gptqTensors(),
      /scales: expected 1 groups of 64, got 2/,
    ],
    [
      "groups out of order that config.json denies",
      gptqConfig,
      gptqTensors(undefined, (c) => c % GROUPS),
      /g_idx: expected groups in order/,
    ],
    [
      "no quantization in config.json",
      {},
      gptqTensors(),
      /a\.proj\.qweight: got dtype I32.*no quantization_config of gptq, awq/,
    ],
    [
      "parts of another kind",
      { quantization_config: { quant_method: "awq", bits: 4, group_size: GROUP } },
      gptqTensors(),
      /g_idx|qweight/,
    ],
    [
      "a part that is missing",
      gptqConfig,
      Object.fromEntries(Object.entries(gptqTensors()).filter(([name]) => !name.endsWith("qzeros"))),
      /a\.proj\.qzeros: expected it beside qweight, scales, g_idx/,
    ],
  ])("%s", async (_, config, tensors, message) => {
    const checkpoint = await openQuantized(config, tensors);
    const reading = checkpoint.tensors().then(() => checkpoint.read("a.proj.weight"));
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toMatchObject({ name: "TurboQuantError" });
  });
});
