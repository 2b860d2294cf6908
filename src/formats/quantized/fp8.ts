/**
 * @file FP8 (E4M3) weights with a scale for each block (DeepSeek), each output or the whole matrix. value = fp8 · scale
 *
 * weight F8_E4M3 [outputs][inputs] · weight_scale_inv [⌈outputs / b0⌉][⌈inputs / b1⌉], or weight_scale [outputs][1], [outputs] or [1]
 */
import { floatsOf, fp8Values, partOf } from "./parts.ts";
import { roundedWeight } from "./rows.ts";
import type { QuantizedWeight, QuantScheme, ReadableWeight, Refuse } from "./scheme.ts";
import { ofMethod } from "./settings.ts";

export const fp8: QuantScheme = {
  name: "fp8",
  settings: ofMethod("fp8", "fbgemm_fp8"),
  parts: ["weight", "weight_scale_inv", "weight_scale", "input_scale", "activation_scale"],
  weight: (weight, settings, refuse) => fp8Weight(weight, settings["weight_block_size"], refuse),
};

/** block: outputs and inputs that share a scale, where scales are of blocks */
export function fp8Weight(weight: QuantizedWeight, block: unknown, refuse: Refuse): ReadableWeight | null {
  const codes = partOf(weight, "weight", refuse);
  if (codes.stored !== "F8_E4M3") return null;
  const [rows = 0, cols = 0] = codes.shape;
  const scales = weight.parts.get("weight_scale_inv") ?? partOf(weight, "weight_scale", refuse);
  const [high, wide] = blockOf(block, scales.shape, rows, cols);
  const perRow = Math.ceil(cols / wide);
  const expected = Math.ceil(rows / high) * perRow;
  const got = scales.shape.reduce((product, size) => product * size, 1);
  if (got !== expected)
    throw refuse.invalid(
      scales.name,
      `expected ${expected} scales for blocks of ${high} × ${wide}, got [${scales.shape}]`,
    );
  return roundedWeight([rows, cols], async () => {
    const [values, scale] = [fp8Values(await codes.read()), await floatsOf(scales, refuse)];
    return (row, out) => {
      const at = Math.floor(row / high) * perRow;
      for (let i = 0; i < cols; i++) out[i] = values[row * cols + i]! * scale[at + Math.floor(i / wide)]!;
    };
  });
}

function blockOf(block: unknown, shape: readonly number[], rows: number, cols: number): [high: number, wide: number] {
  if (Array.isArray(block) && block.length === 2 && block.every((size) => Number.isInteger(size) && size > 0)) {
    return block as [number, number];
  }
  return shape[0] === rows && rows > 1 ? [1, cols] : [rows, cols];
}
