/** @file The matrix kernel's text compiles, for every tile: Dawn's null adapter has the language but computes nothing. */
import { expect, it } from "vitest";
import { gpuSkip } from "../../../../test/support/gpu.ts";
import { matrixShader } from "./linear.ts";
import { MATRIX_TILES } from "./linear-plan.ts";
import { tileBytes, tileThreads } from "./matrix-text.ts";

it.skipIf(gpuSkip)("compiles for every tile, type and way of staging", async () => {
  const { create } = (await import("webgpu")) as { create: (options: string[]) => GPU };
  const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  const adapter = await gpu.requestAdapter();
  const requiredFeatures = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[];
  const device = await adapter!.requestDevice({ requiredFeatures });
  for (const tile of MATRIX_TILES) {
    for (const views of [false, true]) {
      for (const type of ["f16", "bf16", "q8", "q4"] as const) {
        const module = device.createShaderModule({
          code: matrixShader(type, type === "q8" || type === "q4", tile, views).code,
        });
        const { messages } = await module.getCompilationInfo();
        const texts = messages.map(({ lineNum, message }) => `${lineNum}: ${message}`);
        expect(texts, `${JSON.stringify(tile)} ${type}`).toEqual([]);
      }
    }
    expect(tileBytes(tile)).toBeLessThanOrEqual(48 << 10);
    expect(tileThreads(tile)).toBeLessThanOrEqual(256);
  }
  device.destroy();
  expect(gpu).toBeDefined(); // Dawn crashes when this is collected before its devices
});
