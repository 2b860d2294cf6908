/**
 * @file Kernels of decode attention that this machine's adapter would not choose: the one without subgroups against the reference, and
 * the text of those in f16, which Dawn's null adapter compiles but does not run.
 */
import { describe, expect, it } from "vitest";
import { gpuSkip } from "../../../test/helpers/gpu.ts";
import { differenceOf } from "../../../test/helpers/kv-case.ts";
import { tolerance } from "../../../test/tolerances.ts";
import { KvCache } from "../../cache/kv-cache.ts";
import { PagePool } from "../../cache/page-pool.ts";
import type { PageStorage } from "../../cache/page-storage.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import type { AttentionLayer } from "../ops.ts";
import { createReferenceBackend } from "../reference/backend.ts";
import { createWebGpuBackend } from "./backend.ts";
import { BufferAllocator } from "./buffers.ts";
import { Commands } from "./commands.ts";
import { GpuContext } from "./context.ts";
import { decodeKernel } from "./decode-attention.ts";

describe.skipIf(gpuSkip)("decode attention", () => {
  it("without subgroups gives what the reference gives", async () => {
    const gpu = await createWebGpuBackend({ without: ["subgroups", "f16"] });
    const reference = createReferenceBackend();
    try {
      expect(gpu.context.features.subgroupSize).toBe(0);
      for (const kvCase of [
        { kv: "k4v4", steps: [1, 1, 200, 1], numHeads: 4, numKvHeads: 2 },
        { kv: "k8v3,window=20,sinks=3", steps: [140, 1, 3], headDim: 80 },
        { kv: "q8_0,v=tq6", steps: [70, 1], headDim: 128, numHeads: 3 },
        { kv: "f16", steps: [300, 1], slidingWindow: 100 },
      ]) {
        const { output } = await differenceOf(gpu, reference, kvCase);
        expect(output, kvCase.kv).toBeLessThan(tolerance.attentionGpu.max);
      }
      expect(gpu.commands.kernelLabels.some((label) => label.includes("subgroups"))).toBe(false);
    } finally {
      await gpu.dispose();
    }
  }, 120_000);

  it("compiles in f16 for every type, head dimension and group", async () => {
    const { create } = (await import("webgpu")) as { create: (options: string[]) => GPU };
    const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
    const adapter = (await gpu.requestAdapter())!;
    const device = await adapter.requestDevice({ requiredFeatures: ["shader-f16", "subgroups"] as GPUFeatureName[] });
    const features = { f16: true, subgroups: true, subgroupSize: 32, timestamps: false, matrices: false };
    const context = new GpuContext({ device, adapterName: "null", features, missing: [], isSoftware: false });
    const allocator = new BufferAllocator(context);
    const commands = new Commands(context, allocator);
    for (const kv of ["k4v4", "k3v3", "k8v4", "f16", "k5v1", "q8_0", "k4v4,sinks=0,window=0", "f16,v=tq4"]) {
      const spec = parseKvSpec(kv);
      for (const [headDim, group] of [
        [128, 4],
        [64, 8],
        [80, 3],
        [256, 1],
        [8, 5],
      ] as const) {
        const shape = { numKvHeads: 2, headDim };
        const cache = new KvCache([shape], () => spec.forLayer(0), new PagePool({} as PageStorage)).layers[0]!;
        const layer = { ...shape, index: 0, numHeads: 2 * group, format: spec.forLayer(0), slidingWindow: 0 };
        device.pushErrorScope("validation");
        decodeKernel(commands, { layer: layer as AttentionLayer, cache, centroidsAt: { k: 0, v: 16 } });
        expect((await device.popErrorScope())?.message, `${kv}, head_dim ${headDim}, group ${group}`).toBeUndefined();
      }
    }
    context.dispose();
    expect(gpu).toBeDefined(); // Dawn crashes when this is collected before its devices
  });
});
