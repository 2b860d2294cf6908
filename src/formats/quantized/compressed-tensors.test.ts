/** @file compressed-tensors: widths, zero points, inputs in an order of their own, several groups of settings, int8 and fp8. */
import { describe, expect, it } from "vitest";
import { openQuantized, pack, type Tensors, transposed } from "../../../test/support/quantized-file.ts";
import {
  affine,
  byRow,
  COLS,
  code,
  draw,
  expectNear,
  GROUP,
  GROUPS,
  grid,
  groupOf,
  ROWS,
  readQuantized,
  scale,
  zero,
} from "../../../test/support/quantized-grid.ts";

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
    const none = await readQuantized(config(weights), packed(bits));
    expect(none).toMatchObject({ dtype: bits === 8 ? "q8" : "q4", out: affine(bits, () => middle) });
    const words = pack(GROUPS, ROWS, bits, (g, r) => zero(bits)(r, g));
    const perGroup = words.length / GROUPS;
    const own = { dtype: "I32", shape: [perGroup, GROUPS], data: transposed(words, GROUPS) };
    const asymmetric = await readQuantized(config(weights), packed(bits, { "a.weight_zero_point": own }));
    const int8 = Int8Array.from(byRow(zero(bits)), (value) => value - middle);
    const plain = { dtype: "I8", shape: [ROWS, GROUPS], data: int8 };
    const unpacked = await readQuantized(config(weights), packed(bits, { "a.weight_zero_point": plain }));
    expect(unpacked.out).toEqual(asymmetric.out);
    if (bits === 8) expectNear(asymmetric.out, affine(bits));
    else expect(asymmetric.out).toEqual(affine(bits));
  });

  it("inputs in an order of their own (actorder)", async () => {
    const weights = { num_bits: 4, type: "int", strategy: "group", group_size: GROUP, actorder: "group" };
    const order = (groups: (c: number) => number): Tensors => ({
      "a.weight_g_idx": { dtype: "I32", shape: [COLS], data: Int32Array.from({ length: COLS }, (_, c) => groups(c)) },
    });
    const mixed = await readQuantized(
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
    const unset = await readQuantized(
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
    expect((await readQuantized({ quantization_config: own }, packed(4))).out).toEqual(affine(4, () => 8));
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
    const int8 = await readQuantized(config({ num_bits: 8, type: "int", strategy: "channel" }, "int-quantized"), {
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
        (await readQuantized(settings, fp8(shape, [0.25]))).out,
        grid((_, c) => base(c) / 4),
      );
    const rows = Array.from({ length: ROWS }, (_, r) => r + 1);
    for (const shape of [[ROWS], [ROWS, 1]])
      expectNear(
        (await readQuantized(settings, fp8(shape, rows))).out,
        grid((r, c) => base(c) * (r + 1)),
      );
    expectNear(
      (await readQuantized(settings, fp8([ROWS, GROUPS], byRow(scale)))).out,
      grid((r, c) => base(c) * scale(r, groupOf(c))),
    );
  });
});
