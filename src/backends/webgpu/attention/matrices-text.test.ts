/** @file Attention of spans on matrix units: its text compiles for every type and shape (Dawn's null adapter computes nothing), and how much memory it takes. */
import { expect, it } from "vitest";
import { gpuSkip } from "../../../../test/support/gpu.ts";
import { layerOf } from "../../../../test/support/webgpu-prefill.ts";
import { sideCentroids } from "../codec/side-tables.ts";
import { isHalfSide, matrixBytes } from "./matrices-text.ts";
import { matrixSpec } from "./prefill-kernels.ts";

const optionsOf = (kv: string, headDim: number, group = 2) => {
  const layer = layerOf({ kv, headDim, group, steps: [] });
  const centroidsAt = { k: 0, v: sideCentroids(layer.kv.format.k, headDim).length };
  const windowCentroidsAt = layer.kv.format.windowBits === 8 ? { k: 64, v: 64 } : undefined;
  return { layer, cache: layer.cache, centroidsAt, windowCentroidsAt };
};

const EIGHT = ["k2v2", "k4v4", "k4v3", "k5v5", "k8v8"].map((kv) => `${kv},window=8bit`);
const TYPES = ["k1v1", "k2v2", "k3v3", "k4v4", "k5v5", "k6v7", "k8v4", "k8v8", "f16", "q8_0", ...EIGHT];

it.skipIf(gpuSkip)("compiles, for every type and shape", async () => {
  const { create } = (await import("webgpu")) as { create: (options: string[]) => GPU };
  const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  const adapter = await gpu.requestAdapter();
  const requiredFeatures = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[];
  const device = await adapter!.requestDevice({ requiredFeatures });
  const codes = [
    ...TYPES.map((kv) => optionsOf(kv, 128)),
    ...[16, 48, 64, 80, 112].map((headDim) => optionsOf("k4v4", headDim)),
    ...[16, 48, 96].map((headDim) => optionsOf("k4v4,window=8bit", headDim)),
    ...[1, 7, 20].map((group) => optionsOf("k4v3", 96, group)),
  ].map((options) => matrixSpec(options).shader.code);
  for (const code of codes) {
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    expect(messages.map(({ lineNum, message }) => `${lineNum}: ${message}`)).toEqual([]);
  }
  device.destroy();
  expect(gpu).toBeDefined(); // Dawn crashes when this is collected before its devices
});

it("is for what f16 holds: not for f32, nor for blocks that are rotated, whose numbers may be beyond it", () => {
  const onMatrices = (kv: string): boolean => {
    const { k, v } = layerOf({ kv, headDim: 128, group: 2, steps: [] }).kv.format;
    return isHalfSide(k) && isHalfSide(v);
  };
  expect([...TYPES, "f32", "q4_0r", "k4v4,v=q4_0r"].filter((kv) => !onMatrices(kv))).toEqual([
    "f32",
    "q4_0r",
    "k4v4,v=q4_0r",
  ]);
  // The scale of a block of q8_0 with the largest number of f16 is rounded up.
  expect(matrixSpec(optionsOf("q8_0", 64)).shader.code).toContain("vec2f(-MAX_HALF), vec2f(MAX_HALF))");
});

it("has queries of at most 1 in f16, and scores multiplied by what they were divided by", () => {
  const { code } = matrixSpec(optionsOf("k4v4", 64)).shader;
  expect(code).not.toMatch(/q\[query \+ \d+u\] \* LOG2E/);
  expect(code.match(/let q\d = q\[query \+ \d+u\] \* query_factor;/g)).toHaveLength(16);
  // Scores are read where a turn has the usual tiles, and where it has not.
  expect(code.match(/var s\d+ = scores\[\d+u \* SCORE_PITCH \+ l\] \* query_scale;/g)).toHaveLength(32);
});

it("fits the 48 KiB of workgroup memory that a multiprocessor has for Vulkan", () => {
  for (const kv of TYPES) {
    const { layer, cache, ...at } = optionsOf(kv, 128);
    const { k, v } = layer.kv.format;
    const bytes = matrixBytes({ k, v, main: cache.main, residual: cache.residual?.layout ?? null, ...at });
    expect(bytes, kv).toBeLessThanOrEqual(48 << 10);
  }
});
