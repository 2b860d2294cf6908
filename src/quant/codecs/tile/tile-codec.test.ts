/** @file KVarN's tiles: factors of both sides, what is read of a page, and its bits. */
import { describe, expect, it } from "vitest";
import { gaussianVector } from "../../../../test/support/vectors.ts";
import { bitsPerValue, PAGE_TOKENS, pageLayout } from "../../page-layout.ts";
import { parseKvSpec } from "../../parse-kv-spec.ts";
import { RowCodec } from "../../row-codec.ts";
import { balanceTile } from "./balance-tile.ts";

const D = 64;

/** Normal numbers times a factor for each token and for each channel. */
function scaledTile(seed: number): { tile: Float32Array; rows: number[]; columns: number[] } {
  const rows = Array.from({ length: PAGE_TOKENS }, (_, r) => 2 ** (r % 5));
  const columns = Array.from({ length: D }, (_, c) => 3 ** (c % 3));
  const tile = gaussianVector(PAGE_TOKENS * D, seed).map((x, i) => x * rows[Math.floor(i / D)]! * columns[i % D]!);
  return { tile, rows, columns };
}

it("the factors of a tile bring the deviations of its rows and columns together", () => {
  const { tile, rows, columns } = scaledTile(1);
  const found = balanceTile(tile, PAGE_TOKENS, D);
  const product = (r: number, c: number): number => found.rows[r]! * found.columns[c]!;
  // Known up to a constant; estimated from 64 numbers, so within some ten per cent.
  const constant = product(2, 0) / (rows[2]! * columns[0]!);
  for (let r = 0; r < PAGE_TOKENS; r += 7) {
    for (let c = 0; c < D; c += 5) {
      const ratio = product(r, c) / (constant * rows[r]! * columns[c]!);
      expect(ratio).toBeGreaterThan(0.5);
      expect(ratio).toBeLessThan(2);
    }
  }
});

describe.each(["k", "v"] as const)("%s", (side) => {
  it("reads a page within the step of its codes, heads apart, and far better than without factors", () => {
    const format = parseKvSpec("kvarn-4,rotation=none").forLayer(0);
    const layout = pageLayout(format.k, format.v, D, 2);
    const page = new Uint8Array(layout.numBytes);
    const codec = new RowCodec(format[side], format, D);
    const tiles = [scaledTile(2).tile, scaledTile(3).tile];
    for (const [head, tile] of tiles.entries()) codec.storePage(tile.slice(), page, layout, side, head);
    const out = new Float32Array(D);
    const { rows, columns } = scaledTile(2);
    for (const [head, tile] of tiles.entries()) {
      let [error, energy] = [0, 0];
      for (let row = 0; row < PAGE_TOKENS; row++) {
        codec.read(page, layout, side, head, row, out);
        out.forEach((value, c) => {
          const factor = rows[row]! * columns[c]!;
          error += ((value - tile[row * D + c]!) / factor) ** 2;
          energy += (tile[row * D + c]! / factor) ** 2;
        });
      }
      // Uniform codes over some five deviations: (5 / 15)² / 12.
      expect(error / energy).toBeLessThan(0.02);
    }
  });
});

it("its words: sides of their own width, a tile of sinks and a tail, and 0.75 bits beside the codes at head_dim 64", () => {
  const format = parseKvSpec("kvarn-4,v=kvarn2").forLayer(0);
  expect(format).toMatchObject({ sinks: 64, window: 64, rotation: "hadamard", k: { bits: 4 }, v: { bits: 2 } });
  expect(bitsPerValue(pageLayout(format.k, format.k, 64, 2))).toBe(4.75);
  expect(() => parseKvSpec("kvarn-4,window=32")).toThrow(/kvarn4 stores 64 tokens together/);
});
