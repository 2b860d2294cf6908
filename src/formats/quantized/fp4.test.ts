/** @file FP4 with the scales of NVFP4 and of MXFP4. */
import { describe, expect, it } from "vitest";
import { COLS, draw, expectNear, GROUPS, grid, ROWS, readQuantized } from "../../../test/support/quantized-grid.ts";

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
    const compressed = await readQuantized(method("compressed-tensors"), {
      "a.weight_packed": { dtype: "U8", shape: [ROWS, COLS / 2], data: nibbles },
      "a.weight_scale": scales,
      "a.weight_global_scale": { dtype: "F32", shape: [1], data: Float32Array.of(8) },
      "a.input_global_scale": { dtype: "F32", shape: [1], data: Float32Array.of(3) },
    });
    expectNear(compressed.out, expected);
    const modelopt = await readQuantized(method("modelopt"), {
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
    const matrix = await readQuantized(method("compressed-tensors"), {
      "a.weight_packed": { dtype: "U8", shape: [ROWS, COLS / 2], data: nibbles },
      "a.weight_scale": { dtype: "U8", shape: [ROWS, GROUPS], data: exponents },
    });
    expect(matrix).toMatchObject({ name: "a.weight", dtype: "mxfp4", shape: [ROWS, COLS], out: expected });
    const experts = await readQuantized(method("mxfp4"), {
      "a.experts.gate_up_proj_blocks": { dtype: "U8", shape: [2, ROWS / 2, GROUPS, 16], data: nibbles },
      "a.experts.gate_up_proj_scales": { dtype: "U8", shape: [2, ROWS / 2, GROUPS], data: exponents },
    });
    const name = "a.experts.gate_up_proj";
    expect(experts).toMatchObject({ name, dtype: "mxfp4", shape: [2, ROWS / 2, COLS], out: expected });
  });
});
