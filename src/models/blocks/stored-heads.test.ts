import { describe, expect, it } from "vitest";
import { gaussians, upload } from "../../../test/support/wasm-backend.ts";
import type { Buf } from "../../backends/ops.ts";
import { createReferenceBackend } from "../../backends/reference/backend.ts";
import { type BlockStep, norm, plainNorm } from "./block.ts";
import { storedHeads, storedLatent, widenedColumns } from "./stored-heads.ts";

const ops = createReferenceBackend();
const ROWS = 2;
const at = { ops, rows: ROWS } as unknown as BlockStep;
const counted = (length: number) => Float32Array.from({ length }, (_, i) => i + 1);
const valuesOf = async (buf: Buf): Promise<number[]> => [...(await ops.readback(buf, buf.length))];

/** A row's heads, widened and as they were. */
async function widened(numHeads: number, numKvHeads: number, headDim: number, valueDim: number) {
  const heads = storedHeads({ numHeads, numKvHeads, headDim, valueDim })!;
  const width = (numHeads + numKvHeads) * headDim + numKvHeads * valueDim;
  const before = gaussians(1, ROWS * width);
  const out = upload(ops, gaussians(2, ROWS * heads.width));
  heads.widen(at, upload(ops, before), out);
  return { heads, width, before, after: Float32Array.from(await valuesOf(out)) };
}

describe("stored heads", () => {
  it.each([8, 16, 64, 80, 120, 576])("of %i coordinates are as they are", (headDim) => {
    expect(storedHeads({ numHeads: 2, numKvHeads: 1, headDim, valueDim: headDim })).toBeNull();
  });

  it("have zeros behind each half", async () => {
    const heads = storedHeads({ numHeads: 1, numKvHeads: 1, headDim: 4, valueDim: 4 })!;
    const out = ops.alloc(2 * heads.width);
    heads.widen(at, upload(ops, counted(24)), out);
    const [q, k, v] = [
      [1, 2, 0, 0, 3, 4, 0, 0],
      [5, 6, 0, 0, 7, 8, 0, 0],
      [9, 10, 0, 0, 11, 12, 0, 0],
    ];
    expect((await valuesOf(out)).slice(0, 24)).toEqual([...q!, ...k!, ...v!]);
  });

  it("columns of a matrix behind attention are where the values that they are multiplied by are", () => {
    const matrix = counted(2 * 2 * 6);
    const [halves, odd] = [
      [1, 2, 3, 0, 4, 5, 6, 0],
      [1, 2, 3, 0, 0, 0, 0, 0],
    ];
    expect([...widenedColumns(matrix, 2, 6)].slice(0, 8)).toEqual(halves);
    expect([...widenedColumns(matrix, 2, 6)].slice(24)).toEqual(halves!.map((x) => (x > 0 ? x + 18 : 0)));
    expect([...widenedColumns(matrix, 4, 3)].slice(0, 8)).toEqual(odd);
    expect(widenedColumns(matrix, 1, 8)).toBe(matrix);
  });

  it.each([
    [1, 1, 2, 2],
    [3, 1, 12, 12],
    [6, 2, 100, 100],
    [2, 2, 5, 5],
    [4, 0, 20, 20],
    [2, 1, 24, 18],
    [4, 2, 12, 16],
    [4, 2, 12, 7],
    [2, 2, 570, 512],
  ])("%i heads and %i of K and V, of %i and %i: no value is lost, the rest is zeros", async (...of) => {
    const [numHeads, numKvHeads, headDim, valueDim] = of;
    const { heads, width, before, after } = await widened(...of);
    const sorted = (values: Float32Array) => [...values].filter((value) => value !== 0).sort();
    const keyHeads = numHeads + numKvHeads;
    for (let row = 0; row < ROWS; row++) {
      const [own, wide] = [before.subarray(row * width), after.subarray(row * heads.width)];
      for (let head = 0; head < keyHeads; head++) {
        const stored = wide.subarray(head * heads.headDim, (head + 1) * heads.headDim);
        expect(sorted(stored)).toEqual(sorted(own.subarray(head * headDim, (head + 1) * headDim)));
      }
      for (let head = 0; head < numKvHeads; head++) {
        const first = keyHeads * heads.headDim + head * heads.valueDim;
        const from = keyHeads * headDim + head * valueDim;
        const stored = wide.subarray(first, first + heads.valueDim);
        expect(sorted(stored)).toEqual(sorted(own.subarray(from, from + valueDim)));
      }
    }
    // What attention returns has the places of values.
    const values = (stride: number, first: number, dim: number, rows: Float32Array) =>
      Float32Array.from({ length: ROWS * numHeads * dim }, (_, i) => {
        const [row, head] = [Math.floor(i / (numHeads * dim)), Math.floor(i / dim) % numHeads];
        return numKvHeads > 0 ? rows[row * stride + first + (head % numKvHeads) * dim + (i % dim)]! : 0;
      });
    const narrow = ops.alloc(ROWS * numHeads * valueDim);
    heads.narrow(at, upload(ops, values(heads.width, keyHeads * heads.headDim, heads.valueDim, after)), narrow);
    expect(await valuesOf(narrow)).toEqual([...values(width, keyHeads * headDim, valueDim, before)]);
  });

  it("norms divide by the width without zeros", () => {
    const { norm: normOf, epsScale } = storedHeads({ numHeads: 1, numKvHeads: 1, headDim: 12, valueDim: 12 })!;
    const heads = { headDim: 12, rotaryDim: 12, isInterleaved: false };
    expect(epsScale).toBe(12 / 16);
    // x / √(sum / 16 + eps · 12 / 16) is √(16 / 12) times as much as x / √(sum / 12 + eps).
    const scale = Math.sqrt(12 / 16);
    expect(normOf(plainNorm(12), null)).toMatchObject({ ones: 16, scale });
    const { tensors, ...spec } = normOf({ ...norm("w", 12), offset: 1 }, heads);
    expect(spec).toMatchObject({ offset: 1, scale });
    expect([0, 5, 6, 11].map((i) => tensors[0]!.order!.place(i))).toEqual([0, 5, 8, 13]);
    const pairs = normOf(norm("w", 12), { ...heads, isInterleaved: true }).tensors[0]!.order!;
    expect([0, 1, 2, 11].map((i) => pairs.place(i))).toEqual([0, 8, 1, 13]);
    expect(pairs.numRows).toBe(16);
  });
});

describe("stored latents", () => {
  it("of multiples of eight are as they are", () => {
    expect(storedLatent(512, 64)).toBeNull();
  });

  it("have zeros behind the latent and behind the halves of the rotary part", async () => {
    const latent = storedLatent(3, 4)!;
    expect([latent.kvRank, latent.ropeDim]).toEqual([8, 8]);
    const out = ops.alloc(32);
    latent.widen(ops, 2, upload(ops, counted(14)), out);
    const [first, second] = [
      [1, 2, 3, 0, 0, 0, 0, 0, 4, 5, 0, 0, 6, 7, 0, 0],
      [8, 9, 10, 0, 0, 0, 0, 0, 11, 12, 0, 0, 13, 14, 0, 0],
    ];
    expect(await valuesOf(out)).toEqual([...first!, ...second!]);
    const narrow = ops.alloc(6);
    latent.narrow(ops, 2, upload(ops, counted(16)), narrow);
    expect(await valuesOf(narrow)).toEqual([1, 2, 3, 9, 10, 11]);
  });
});
