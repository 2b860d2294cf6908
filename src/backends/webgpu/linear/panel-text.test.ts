/** @file Products from panels: their texts compile (Dawn's null adapter computes nothing), and how they are cut. */
import { expect, it } from "vitest";
import { openNullDevice } from "../../../../test/support/null-device.ts";
import {
  panelBytes,
  panelRoom,
  panelsOf,
  SUM_BYTES,
  sharesOf,
  sliceOutputs,
  WEIGHT_PANEL_BYTES,
} from "./panel-plan.ts";
import { PANEL_BYTES, TILE } from "./panel-text.ts";
import { packShader, productShader } from "./panels.ts";

it("compiles, for every type and both ways of the sums", async () => {
  const device = await openNullDevice();
  const made = [
    ...[1024, null].map(productShader),
    ...[true, false].map((tail) => packShader(null, tail)),
    ...(["f16", "bf16", "q8", "q4"] as const).map((type) => packShader(type, false)),
  ];
  for (const { code } of made) expect(await device.compile(code)).toEqual([]);
  device.dispose();
});

it("takes no more workgroup memory than lets two workgroups share 48 KiB", () => {
  expect(PANEL_BYTES).toBeLessThanOrEqual(24 << 10);
});

it("shares columns out where tiles are few and columns many", () => {
  // Of tiles that fill a large device no more than once, each has all columns.
  expect(sharesOf({ rows: 24_576, cols: 4096 }, 1024)).toBe(1);
  expect(sharesOf({ rows: 4096, cols: 4096 }, 1024)).toBe(1);
  expect(sharesOf({ rows: 4096, cols: 12_288 }, 512)).toBe(2);
  expect(sharesOf({ rows: 1024, cols: 3072 }, 512)).toBe(4);
  // Few rows: the sums of a share are whole tiles all the same.
  expect(sharesOf({ rows: 4096, cols: 1024 }, 128)).toBe(2);
  expect(sharesOf({ rows: 6144, cols: 1024 }, 16)).toBe(1);
  // Two waves, the second of them half empty.
  expect(sharesOf({ rows: 6144, cols: 4096 }, 1024)).toBe(2);
});

it("cuts a large matrix into whole waves of workgroups", () => {
  const slice = sliceOutputs(24_576, 8192, 1024, 1, 1 << 30);
  expect((slice / TILE) * 8).toBe(264 * Math.floor(((16_384 / TILE) * 8) / 264));
});

it("cuts outputs so that panels and sums stay within their memory", () => {
  for (const cols of [64, 1024, 4096, 12_288, 28_672]) {
    for (const outputs of [16, 1024, 4112, 24_576, 57_344]) {
      for (const [rows, shares] of [
        [65, 4],
        [512, 2],
        [1024, 1],
        [2048, 4],
      ] as const) {
        const slice = sliceOutputs(outputs, cols, rows, shares, 1 << 27);
        const note = `${outputs}x${cols}, ${rows} rows`;
        expect(slice % TILE, note).toBe(0);
        expect(panelBytes(slice, panelsOf(cols, shares)), note).toBeLessThanOrEqual(WEIGHT_PANEL_BYTES);
        expect(slice * Math.ceil(rows / TILE) * TILE * shares * 4, note).toBeLessThanOrEqual(SUM_BYTES);
      }
    }
  }
});

it("plans room for panels and sums of every number of rows", () => {
  const matrices = [
    { rows: 1024, cols: 3072 },
    { rows: 6144, cols: 1024 },
    { rows: 24_576, cols: 4096 },
    { rows: 4096, cols: 12_288 },
  ];
  const room = panelRoom(matrices, 1024);
  const taken = { x: 0, weight: 0, sums: 0 };
  for (const { rows: outputs, cols } of matrices) {
    for (let rows = 9; rows <= 1024; rows++) {
      const shares = sharesOf({ rows: outputs, cols }, rows);
      const panels = panelsOf(cols, shares);
      const slice = sliceOutputs(outputs, cols, rows, shares, Number.POSITIVE_INFINITY);
      taken.x = Math.max(taken.x, panelBytes(rows, panels));
      taken.weight = Math.max(taken.weight, panelBytes(slice, panels));
      taken.sums = Math.max(taken.sums, shares * Math.ceil(rows / TILE) * TILE * slice * 4);
    }
  }
  expect(room).toBeGreaterThanOrEqual(taken.x + taken.weight + taken.sums);
});
