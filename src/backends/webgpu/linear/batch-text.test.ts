/** @file The text of products of a batch compiles (Dawn's null adapter computes nothing) and fits every device with matrix units. */
import { expect, it } from "vitest";
import { openNullDevice } from "../../../../test/support/null-device.ts";
import { batchShader, lineShader } from "./batch.ts";
import { BATCH_LINES, BATCH_TILES } from "./batch-plan.ts";
import { batchBytes } from "./batch-text.ts";

it("compiles for every tile, number of rows and type", async () => {
  const device = await openNullDevice();
  for (const tile of BATCH_TILES) {
    for (const type of ["f16", "q4"] as const) {
      for (const rows of BATCH_LINES) {
        const { code } = batchShader(type, { rows, ...tile });
        expect(await device.compile(code), `${JSON.stringify(tile)} ${type} ${rows}`).toEqual([]);
      }
    }
  }
  for (const work of ["plain", "norm", "gate"] as const) {
    expect(await device.compile(lineShader(work).code), work).toEqual([]);
  }
  device.dispose();
});

it("leaves workgroup memory for two workgroups where matrices are read from the weight", () => {
  for (const tile of BATCH_TILES) expect(batchBytes({ rows: 64, ...tile }, false)).toBeLessThanOrEqual(24 << 10);
});
