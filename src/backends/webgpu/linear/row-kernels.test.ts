/** @file The kernels that convert rows for a device: the bytes of the definitions, for every type that checkpoints have. */
import { expect, it } from "vitest";
import { BLOCK_TYPES, randomBlocks, storedAs } from "../../../../test/support/stored-weights.ts";
import { CounterRng } from "../../../math/rng.ts";
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { WeightPart } from "../../../weights/weight-part.ts";
import { RowKernels } from "./row-kernels.ts";
import { strideOf } from "./weight-buffers.ts";
import { convertRows } from "./weight-bytes.ts";

const kernels = RowKernels.open()!;
const rng = new CounterRng(29, 0);
const values = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => rng.gaussian(i) * 0.02);

const parts = (as: "q8" | "q4"): WeightPart[] => [
  ...BLOCK_TYPES.map((type) => randomBlocks(type, 3, 512)),
  ...[64, 100, 8].flatMap((cols) =>
    (["f32", "f16", "bf16", as] as const).map((type) => storedAs(type, values(3 * cols), cols)),
  ),
];

it.each(["q8", "q4"] as const)("%s of rows of every type", (as) => {
  for (const part of parts(as)) {
    const what = `${part.dtype}, ${part.cols} columns`;
    expect(kernels.rowsAtOnce(part, as), what).toBeGreaterThan(2);
    const expected = convertRows(part, 1, 2, as, strideOf(part.cols, as));
    const own = kernels.convert(part, 1, 2, as);
    expect(own.words, what).toEqual(expected.words);
    expect(own.scales, what).toEqual(expected.scales);
    const peak = wgslWeightFormat(as).peak!(expected);
    expect(own.peak.most, what).toBeGreaterThanOrEqual(Math.fround(peak));
    expect(own.peak.least, what).toBeLessThanOrEqual(Math.fround(peak));
    expect(own.peak.most, what).toBeLessThan(3.01 * peak);
    expect(own.areFinite, what).toBe(["f32", "f16", "bf16"].includes(part.dtype));
  }
});

it("sees what is not finite among plain numbers", () => {
  for (const [type, bits] of [
    ["f16", 0x7c00],
    ["bf16", 0x7fc0],
  ] as const) {
    const part = storedAs(type, values(64), 64);
    new DataView(part.data.buffer, part.data.byteOffset).setUint16(20, bits, true);
    expect(kernels.convert(part, 0, 1, "q8").areFinite).toBe(false);
  }
});

it("leaves rows to others that become something else, or do not fit its memory", () => {
  expect(kernels.rowsAtOnce(storedAs("f32", values(64), 64), "bf16")).toBe(0);
  const long = { dtype: "f32", rows: 1, cols: 1 << 23, data: new Uint8Array(0) } as const;
  expect(kernels.rowsAtOnce(long, "q8")).toBe(0);
});
