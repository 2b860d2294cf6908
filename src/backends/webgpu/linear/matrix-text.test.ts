/** @file The matrix kernel's text compiles, for every tile: Dawn's null adapter has the language but computes nothing. */
import { expect, it } from "vitest";
import { openNullDevice } from "../../../../test/support/null-device.ts";
import { matrixShader } from "./linear.ts";
import { MATRIX_TILES } from "./linear-plan.ts";
import { tileBytes, tileThreads } from "./matrix-text.ts";

it("compiles for every tile, type and way of staging", async () => {
  const device = await openNullDevice();
  for (const tile of MATRIX_TILES) {
    for (const views of [false, true]) {
      for (const type of ["f16", "bf16", "q8", "q4"] as const) {
        const { code } = matrixShader(type, type === "q8" || type === "q4", tile, views);
        expect(await device.compile(code), `${JSON.stringify(tile)} ${type}`).toEqual([]);
      }
    }
    expect(tileBytes(tile)).toBeLessThanOrEqual(48 << 10);
    expect(tileThreads(tile)).toBeLessThanOrEqual(256);
  }
  device.dispose();
});
