/** @file Contract of `loadWeight` and `embed`: a weight holds what the definitions of its formats say, to the bit. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Ops, WeightPart, WeightType } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { weightTypes } from "../../src/weights/registry.ts";
import { BLOCK_TYPES, definedValues, inTwo, randomBlocks, storedAs } from "../support/stored-weights.ts";
import { download, embedTokens, gaussians, partOf, stored } from "../support/wasm-backend.ts";
import type { Target } from "./target.ts";

/** Columns of tables: groups of 4, 8, 32 and 128 and one less and more. A single column in f32 is a vector. */
const COLS = [2, 31, 32, 33, 127, 128, 129, 1000];
const TOKENS = [10, 0, 3, 3, 7];

/** Of numbers on their way through formats whose scales are a thousandth of them. */
const LEAST = 1e-30;

/** Ties, zeros, a group of one sign, the extremes of both signs; then small and large ones. */
function oddMatrices(rows: number, cols: number): Float32Array[] {
  const w = gaussians(9, rows * cols);
  const odd = w.map((v, i) =>
    i % cols < 8 ? 0 : i % 7 === 0 ? Math.round(v * 4) / 4 : i % 11 === 0 ? -Math.abs(v) : v,
  );
  return [odd, w.map((v) => v * 1e-4), w.map((v) => v * 1e4)];
}

/** 0 and −0 are the same weight. */
const unsigned = (values: Float32Array): Float32Array => values.map((value) => value + 0);

export function weightsContract({ open, flushesSubnormals }: Target): void {
  const reference = createReferenceBackend();
  let ops: Ops;
  beforeAll(async () => {
    ops = await open();
  });
  afterAll(() => ops?.dispose());

  async function expectKept(parts: readonly WeightPart[], as: WeightType, note: string): Promise<void> {
    const weight = ops.loadWeight(parts, as);
    const expected = Float32Array.from(parts.flatMap((part) => [...definedValues(part, as)]));
    expect(unsigned(await stored(ops, weight)), note).toEqual(unsigned(expected));
    expect(weight, note).toMatchObject({ type: as, cols: parts[0]!.cols, rows: expected.length / parts[0]!.cols });
    ops.freeWeight(weight);
  }

  describe("loadWeight", () => {
    it.each(weightTypes())("keeps a matrix stored as %s in every format", async (type) => {
      for (const [n, values] of oddMatrices(10, 45).entries()) {
        // Two parts, cut within a panel of rows.
        const parts = inTwo(storedAs(type, values, 45), 7);
        for (const as of weightTypes()) await expectKept(parts, as, `${as}, matrix ${n}`);
      }
    });

    it.each(BLOCK_TYPES)("keeps a matrix stored as %s in every format", async (type) => {
      const part = randomBlocks(type, 7, 512, flushesSubnormals ? LEAST : 0);
      for (const as of weightTypes()) await expectKept([part], as, as);
    });

    it("refuses parts that do not stack, bytes that do not fit, and a format that only checkpoints have", () => {
      const part = partOf(new Float32Array(8), 4);
      expect(() => ops.loadWeight([part, partOf(new Float32Array(6), 3)], "q8")).toThrow(/expected 2x4 f32 in/);
      expect(() => ops.loadWeight([{ ...part, rows: 3 }], "f32")).toThrow(/expected 3x4 f32 in 48 bytes/);
      expect(() => ops.loadWeight([part], "q4_k")).toThrow(/q4_k/);
    });
  });

  describe("embed", () => {
    it.each(weightTypes())("takes rows of a table in %s by token, in any order and repeated", async (type) => {
      for (const cols of COLS) {
        const part = storedAs(type, gaussians(4, 11 * cols), cols);
        const rows = await Promise.all(
          [ops, reference].map(async (each) => {
            const table = each.loadWeight([part], type);
            const out = each.alloc(TOKENS.length * cols);
            embedTokens(each, TOKENS, table, out);
            const values = await download(each, out);
            embedTokens(each, TOKENS, table, out, 0.25);
            expect(await download(each, out), "times a factor").toEqual(values.map((value) => value * 0.25));
            each.freeWeight(table);
            each.free(out);
            return unsigned(values);
          }),
        );
        expect(rows[0], `${cols} columns`).toEqual(rows[1]);
      }
    });

    it("refuses a token that is not in the table", () => {
      for (const each of [ops, reference]) {
        const table = each.loadWeight([partOf(new Float32Array(4 * 8), 8)], "bf16");
        for (const token of [4, -1]) {
          expect(() => embedTokens(each, [token], table, each.alloc(8)), each.name).toThrow(
            `embed: expected tokens from 0 to 3, got ${token}; use ids`,
          );
        }
      }
    });
  });
}
