/** @file GPTQ at every width, and settings of single weights. */
import { describe, expect, it } from "vitest";
import { pack, type Tensors, transposed } from "../../../test/support/quantized-file.ts";
import {
  affine,
  byGroup,
  COLS,
  code,
  expectNear,
  GROUP,
  GROUPS,
  groupOf,
  halves,
  ROWS,
  readQuantized,
  scale,
  zero,
} from "../../../test/support/quantized-grid.ts";

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
    expect(await readQuantized(config(bits), tensors(bits, stored))).toMatchObject({ dtype: "q4", out: affine(bits) });
    const second = config(bits, { checkpoint_format: "gptq_v2" });
    expect((await readQuantized(second, tensors(bits, zero(bits)))).out).toEqual(affine(bits));
  });

  it("8 bits are exact where the codes less their zero are int8", async () => {
    const middle = () => 128;
    const symmetric = await readQuantized(
      config(8, { sym: true }),
      tensors(8, () => 127),
    );
    expect(symmetric).toMatchObject({ dtype: "q8", out: affine(8, middle) });
    const any = await readQuantized(
      config(8),
      tensors(8, (r, g) => (zero(8)(r, g) - 1) & 255),
    );
    expectNear(any.out, affine(8));
  });

  it("desc_act with inputs in order keeps its codes", async () => {
    const stored = (r: number, g: number): number => (zero(4)(r, g) - 1) & 15;
    expect((await readQuantized(config(4, { desc_act: true }), tensors(4, stored))).dtype).toBe("q4");
  });

  it("bits and groups of single weights (dynamic), and settings in quantize_config.json", async () => {
    const stored = (r: number, g: number): number => (zero(4)(r, g) - 1) & 15;
    const dynamic = { "+:.*": { bits: 4, group_size: GROUP }, "-:b": {} };
    const own = config(8, { group_size: 64, dynamic });
    expect((await readQuantized(own, tensors(4, stored))).out).toEqual(affine(4));
    const files = { "quantize_config.json": { bits: 4, group_size: GROUP, desc_act: false, sym: false } };
    expect((await readQuantized({}, tensors(4, stored), files)).out).toEqual(affine(4));
  });
});
