/**
 * @file FP4 (E2M1), two values a byte, the first in the low half: NVFP4 with an FP8 scale for 16 values and one for the matrix,
 * and MXFP4 with a power of two for 32 (OCP Microscaling Formats 1.0).
 */
import { expectShape, floatsOf, fp8Values, scalarOf } from "./parts.ts";
import { mxfp4Weight, roundedWeight } from "./rows.ts";
import type { Part, ReadableWeight, Refuse } from "./scheme.ts";

const FP4 = Float32Array.of(0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6);

/** Values that share a scale. */
const NVFP4_GROUP = 16;
const MXFP4_GROUP = 32;

/** Rows and columns of codes that are packed along a row. */
function shapeOf({ name, stored, shape }: Part, refuse: Refuse): readonly [rows: number, cols: number] {
  const perElement = { U8: 2, U32: 8 }[stored];
  if (perElement === undefined) throw refuse.unsupported(name, `expected FP4 codes in U8 or U32, got ${stored}`);
  const [rows = 0, elements = 0] = shape;
  if (shape.length !== 2) throw refuse.invalid(name, `expected a matrix, got [${shape}]`);
  return [rows, elements * perElement];
}

/**
 * value = fp4 · scale · the scale of the matrix
 *
 * scales: [outputs][inputs / 16], F8_E4M3 or the same bits as U8 · whole: the scale of the matrix, or what scales are to be
 * divided by; null where there is none
 */
export function nvfp4Weight(
  codes: Part,
  scales: Part,
  whole: { readonly part: Part; readonly divides: boolean } | null,
  refuse: Refuse,
): ReadableWeight {
  const [rows, cols] = shapeOf(codes, refuse);
  const groups = cols / NVFP4_GROUP;
  expectShape(scales, [rows, groups], `for ${cols} inputs in groups of ${NVFP4_GROUP}`, refuse);
  return roundedWeight([rows, cols], async () => {
    const bytes = await codes.read();
    const scale = scales.stored === "U8" ? fp8Values(await scales.read(), "F8_E4M3") : await floatsOf(scales, refuse);
    const own = whole ? await scalarOf(whole.part, refuse) : 1;
    const factor = whole?.divides ? 1 / own : own;
    return (row, out) => {
      for (let i = 0, at = (row * cols) / 2; i < cols; i += 2, at++) {
        const step = scale[row * groups + Math.floor(i / NVFP4_GROUP)]! * factor;
        out[i] = FP4[bytes[at]! & 15]! * step;
        out[i + 1] = FP4[bytes[at]! >> 4]! * step;
      }
    };
  });
}

/** scales: U8 or F8_E8M0 [outputs][inputs / 32] */
export function mxfp4Matrix(codes: Part, scales: Part, refuse: Refuse): ReadableWeight {
  const [rows, cols] = shapeOf(codes, refuse);
  expectShape(scales, [rows, cols / MXFP4_GROUP], `for ${cols} inputs in groups of ${MXFP4_GROUP}`, refuse);
  return mxfp4Weight([rows, cols], async () => ({
    codes: await codes.read(),
    exponents: await exponentsOf(scales, refuse),
  }));
}

/** Matrices of experts as gpt-oss has them: blocks U8 [experts][outputs][inputs / 32][16] · scales U8 [experts][outputs][inputs / 32] */
export function mxfp4Experts(blocks: Part, scales: Part, refuse: Refuse): ReadableWeight {
  const [experts = 0, rows = 0, groups = 0] = scales.shape;
  expectShape(blocks, [experts, rows, groups, 16], "for 32 values each of its scales", refuse);
  return mxfp4Weight([experts, rows, groups * MXFP4_GROUP], async () => ({
    codes: await blocks.read(),
    exponents: await exponentsOf(scales, refuse),
  }));
}

async function exponentsOf(scales: Part, refuse: Refuse): Promise<Uint8Array> {
  if (scales.stored === "U8" || scales.stored === "F8_E8M0") return scales.read();
  throw refuse.unsupported(scales.name, `expected powers of two in U8 or F8_E8M0, got ${scales.stored}`);
}
