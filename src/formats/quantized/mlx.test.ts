/** @file MLX's own files, beside the values that MLX reads back. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expectNear, readQuantized } from "../../../test/support/quantized-grid.ts";

interface MlxCase {
  settings: { bits: number; group_size: number; mode: string };
  parts: Record<string, { dtype: string; shape: number[]; data: string }>;
  values: string;
}
const mlx: MlxCase[] = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/mlx/quantized.json", import.meta.url), "utf8"),
);
const decoded = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "base64"));

describe("mlx, against what MLX itself reads back", () => {
  it.each(mlx)("$settings", async ({ settings, parts, values }) => {
    const tensors = Object.fromEntries(
      Object.entries(parts).map(([name, { dtype, shape, data }]) => [
        `a.${name}`,
        { dtype, shape, data: decoded(data) },
      ]),
    );
    const expected = new Float32Array(decoded(values).buffer).map((value) => value + 0);
    const own = await readQuantized({ quantization: { bits: 8, group_size: 128, a: settings } }, tensors);
    if (settings.mode === "mxfp4") expect(own).toMatchObject({ dtype: "mxfp4", out: expected });
    else if (settings.mode !== "affine" || settings.bits > 4) expectNear(own.out, expected);
    else {
      expect(own.dtype).toBe("q4");
      for (const [i, value] of expected.entries()) expect(Math.abs(own.out[i]! - value)).toBeLessThan(2e-3);
    }
  });
});
