/** @file Attention of spans on matrix units: its text compiles for every type and shape (Dawn's null adapter computes nothing), and how much memory it takes. */
import { expect, it } from "vitest";
import { gpuSkip } from "../../../../test/support/gpu.ts";
import { layerOf } from "../../../../test/support/webgpu-prefill.ts";
import { MATRIX_CASES, prefillCaseText } from "../../../../test/support/webgpu-prefill-cases.ts";
import { sideCentroids } from "../codec/side-tables.ts";
import type { GpuContext } from "../device/context.ts";
import { isHalfSide, matrixBytes } from "./matrices-text.ts";
import { canUseMatrixRows, matrixSpec } from "./prefill-kernels.ts";

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
  const statements = matrixSpec(optionsOf("k4v4", 64))
    .shader.code.split("\n")
    .map((line) => line.trim());
  const queries = statements.filter((line) => /\bq\[/.test(line) && !line.startsWith("let quad = abs("));
  const scores = statements.filter((line) => /^var s\d+ = /.test(line));
  expect(queries.length * 4).toBe(64);
  expect(scores.length).toBeGreaterThanOrEqual(16);
  expect(queries.filter((line) => !line.endsWith("] * query_factor;"))).toEqual([]);
  expect(scores.filter((line) => !line.endsWith("] * query_scale;"))).toEqual([]);

  const start = statements.findIndex((line) => line.startsWith("let exponent = "));
  // These three statements of WGSL are JavaScript as well.
  const factorsOf = new Function(
    ...["top", "clamp", "frexp", "ldexp", "LOG2E"],
    `${statements.slice(start, start + 3).join("\n")}\nreturn [query_factor, query_scale];`,
  );
  for (const top of [0, 1e-45, 2e-38, 1e-6, 0.5, 1, 65504, 1e37]) {
    const [factor, scale] = factorsOf(
      top,
      (x: number, low: number, high: number) => Math.min(Math.max(x, low), high),
      (x: number) => ({ exp: x === 0 ? 0 : Math.floor(Math.log2(x)) + 1 }),
      (x: number, exponent: number) => x * 2 ** exponent,
      Math.LOG2E,
    );
    expect(top * factor, `${top}`).toBeLessThan(1);
    if (top > 2 ** -126) expect(top * factor, `${top}`).toBeGreaterThanOrEqual(0.5);
    expect(factor * scale, `${top}`).toBe(Math.LOG2E);
  }
});

it("is what each case that checks it on a GPU is attended by", () => {
  const limits = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 48 << 10 };
  const context = { features: { matrices: true, subgroupSize: 32 }, limits } as GpuContext;
  const others = MATRIX_CASES.filter((c) => {
    const layer = layerOf(c);
    const centroidsAt = { k: 0, v: sideCentroids(layer.kv.format.k, layer.headDim).length };
    const windowCentroidsAt = layer.kv.format.windowBits === 8 ? { k: 64, v: 64 } : undefined;
    return !canUseMatrixRows(context, { layer, cache: layer.cache, centroidsAt, windowCentroidsAt });
  });
  expect(others.map(prefillCaseText)).toEqual([]);
});

it("fits the 48 KiB of workgroup memory that a multiprocessor has for Vulkan", () => {
  for (const kv of TYPES) {
    const { layer, cache, ...at } = optionsOf(kv, 128);
    const { k, v } = layer.kv.format;
    const bytes = matrixBytes({ k, v, main: cache.main, residual: cache.residual?.layout ?? null, ...at });
    expect(bytes, kv).toBeLessThanOrEqual(48 << 10);
  }
});
