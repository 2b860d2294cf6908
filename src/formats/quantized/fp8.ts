/**
 * @file FP8 (E4M3, E5M2) weights with a scale for each block (DeepSeek), each output, each group of inputs or the whole matrix.
 * value = fp8 · scale. What activations would be rounded with (`input_scale`) is not needed: ours are not rounded.
 *
 * weight F8 [outputs][inputs] · weight_scale_inv [⌈outputs / b0⌉][⌈inputs / b1⌉], or weight_scale [outputs][1], [outputs],
 * [outputs][groups], [1] or []
 */
import { floatsOf, fp8Values, isFp8, partOf, powersOfTwo } from "./parts.ts";
import { roundedWeight } from "./rows.ts";
import type { Part, QuantizedWeight, QuantScheme, ReadableWeight, Refuse } from "./scheme.ts";
import { ofMethod } from "./settings.ts";

export const fp8: QuantScheme = {
  name: "fp8",
  kinds: [{ what: "FP8 by block, by output or by matrix", as: "q8", keepsCodes: false }],
  settings: ofMethod("fp8", "fbgemm_fp8"),
  plannedType: () => "q8",
  parts: ["weight", "weight_scale_inv", "weight_scale", "input_scale", "activation_scale", "input_scale_ub"],
  weight: (weight, settings, refuse) => fp8Weight(weight, settings["weight_block_size"], refuse),
};

/** block: outputs and inputs that share a scale, where scales are of blocks */
export function fp8Weight(weight: QuantizedWeight, block: unknown, refuse: Refuse): ReadableWeight | null {
  const codes = partOf(weight, "weight", refuse);
  const { stored } = codes;
  if (!isFp8(stored)) return null;
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
    const [values, scale] = [fp8Values(await codes.read(), stored), await scalesOf(scales, refuse)];
    return (row, out) => {
      const at = Math.floor(row / high) * perRow;
      for (let i = 0; i < cols; i++) out[i] = values[row * cols + i]! * scale[at + Math.floor(i / wide)]!;
    };
  });
}

/** Scales that are stored as bytes are powers of two (MXFP8). */
const scalesOf = async (part: Part, refuse: Refuse): Promise<Float32Array> =>
  part.stored === "U8" ? powersOfTwo(await part.read()) : floatsOf(part, refuse);

function blockOf(block: unknown, shape: readonly number[], rows: number, cols: number): [high: number, wide: number] {
  const count = shape.reduce((product, size) => product * size, 1);
  // A matrix that is not cut into blocks has one scale, whatever the others have.
  if (count === 1) return [rows, cols];
  if (Array.isArray(block) && block.length === 2 && block.every((size) => Number.isInteger(size) && size > 0)) {
    return block as [number, number];
  }
  const perRow = count / rows;
  return shape[0] === rows && cols % perRow === 0 ? [1, cols / perRow] : [rows, cols];
}
