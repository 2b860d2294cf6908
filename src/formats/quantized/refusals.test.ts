/** @file What a quantized checkpoint is refused for: settings that contradict its tensors, and kinds without a reader. */
import { describe, expect, it } from "vitest";
import { pack, type Tensors } from "../../../test/support/quantized-file.ts";
import { byRow, COLS, code, GROUP, GROUPS, ROWS, readQuantized, scale } from "../../../test/support/quantized-grid.ts";

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
    const reading = readQuantized(config, tensors);
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toMatchObject({ name: "TurboQuantError" });
  });
});
