/**
 * @file Decode attention with subgroups and without against the reference over an edge grid, and the text of the kernels in f16, which
 * Dawn's null adapter compiles but does not run.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GPU_TIMEOUT_MS, gpuSkip } from "../../../../test/support/gpu.ts";
import { decodeDifference, type KvCase } from "../../../../test/support/kv-case.ts";
import { isThorough } from "../../../../test/support/optional.ts";
import { tolerance } from "../../../../test/tolerances.ts";
import { KvCache } from "../../../cache/kv-cache.ts";
import { PagePool } from "../../../cache/page-pool.ts";
import type { PageStorage } from "../../../cache/page-storage.ts";
import { CounterRng } from "../../../math/rng.ts";
import { parseKvSpec } from "../../../quant/parse-kv-spec.ts";
import { PreparedLayer } from "../../../quant/prepared-layer.ts";
import type { AttentionLayer } from "../../ops.ts";
import { createReferenceBackend } from "../../reference/backend.ts";
import { createWebGpuBackend, type WebGpuBackend, type WebGpuBackendOptions } from "../backend.ts";
import { GpuContext } from "../device/context.ts";
import { BufferAllocator } from "../queue/buffers.ts";
import { Commands } from "../queue/commands.ts";
import { type DecodeKernel, decodeKernels, planDecode } from "./decode-attention.ts";

const rng = new CounterRng(2, 2);
/**
 * Every width on one side or the other, head dimensions 8 to 256, 1 to 8 query heads a KV head, and the inputs and windows at the edges, one of
 * each a case: a kernel takes SwiftShader seconds to make. Steps of up to four tokens are decoded, longer ones fill the cache.
 */
const GRID = {
  narrow: { kv: "k1v7,sinks=0,window=0", headDim: 8, numHeads: 3, numKvHeads: 3, steps: [1, 62, 1, 1] },
  blocks: { kv: "q8_0,v=tq8", headDim: 16, numHeads: 4, numKvHeads: 2, steps: [63, 1, 4] },
  noSinks: { kv: "k2v6,window=16,sinks=0", headDim: 40, numHeads: 3, steps: [1, 1, 100, 1] },
  usual: { kv: "k4v4", headDim: 128, numHeads: 8, numKvHeads: 2, steps: [140, 1, 2], slidingWindow: 100 },
  short: { kv: "k4v4", steps: [140, 1, 2], slidingWindow: 100 },
  // The same pages as before and other query heads: another kernel.
  oneHead: { kv: "k4v4", numHeads: 2, numKvHeads: 2, steps: [20, 1] },
  noWindow: { kv: "k6v5,window=0,sinks=7", headDim: 80, numHeads: 5, steps: [128, 1] },
  odd: { kv: "k7v3", headDim: 96, numHeads: 6, steps: [5, 1, 150, 3] },
  mixed: { kv: "q4_0r,v=tq2", headDim: 64, numHeads: 7, steps: [127, 2] },
  wide: { kv: "k8v1,window=20,sinks=3", headDim: 256, numHeads: 8, steps: [64, 1] },
  floats: { kv: "f16", steps: [300, 1], slidingWindow: 100 },
  zeros: { kv: "k4v4,sinks=0,window=0", steps: [40, 1], fill: () => 0 },
  huge: { kv: "k4v4,sinks=0,window=0", steps: [40, 1], fill: (i) => rng.gaussian(i) * 1e4 },
  notFinite: {
    kv: "k4v4,sinks=0,window=0",
    steps: [40, 1],
    // A query that is no number has no answer: only keys and values have them.
    fill: (i) => (i % 256 < 128 ? rng.gaussian(i) : [Number.NaN, Number.POSITIVE_INFINITY, -1e30, 1][i % 4]!),
  },
} satisfies Record<string, KvCase>;
type Name = keyof typeof GRID;
const ALL = Object.keys(GRID) as Name[];

/**
 * Kernels by their device and tuning, and the cases of each. Long passes differ in the number of keys alone. `wide` has no kernel by subgroups
 * of SwiftShader's size, so that the first row has it by the portable one; the last has each way to read codes: odd and even widths, blocks,
 * floats, with copies of a window, of sinks, and without.
 */
const VARIANTS: readonly (readonly [options: WebGpuBackendOptions, cases: readonly Name[]])[] = [
  [{}, ALL],
  [{ tuning: { own: 4 } }, isThorough ? ["usual", "floats"] : ["short", "floats"]],
  [{ tuning: { own: 2 } }, isThorough ? ["usual", "floats"] : ["short", "floats"]],
  [
    { without: ["subgroups", "f16"] },
    isThorough ? ALL : ["narrow", "noSinks", "noWindow", "mixed", "floats", "zeros", "huge", "notFinite"],
  ],
];

describe.skipIf(gpuSkip)("decode attention", () => {
  describe.each(VARIANTS)("%j", (options, names) => {
    let gpu: WebGpuBackend;
    const reference = createReferenceBackend();
    beforeAll(async () => {
      gpu = await createWebGpuBackend(options);
    });
    afterAll(() => gpu?.dispose());

    it.each(names.map((name): [string, KvCase] => [`${name}: ${GRID[name].kv}`, GRID[name]]))(
      "%s",
      async (_, c) => {
        const output = await decodeDifference(gpu, reference, c);
        expect(output).toBeLessThan((gpu.context.features.f16 ? tolerance.attentionHalf : tolerance.attentionGpu).max);
      },
      GPU_TIMEOUT_MS,
    );

    it("takes the kernel of its variant", () => {
      const bySubgroups = gpu.commands.kernelLabels.some((label) => label.includes("subgroups"));
      expect(bySubgroups).toBe(gpu.context.features.subgroupSize > 0);
    });
  });

  it("gives short contexts shorter passes, so that no core is idle", () => {
    const [long, middle, short] = [512, 256, 128].map((passKeys) => ({ passKeys }) as DecodeKernel);
    const context = { isSoftware: false } as GpuContext;
    const layer = { numKvHeads: 8, slidingWindow: 0 } as AttentionLayer;
    const plan = (keys: number, slidingWindow = 0, rows = 1) =>
      planDecode(context, { layer: { ...layer, slidingWindow } }, [long!, middle!, short!], keys, rows);
    expect(plan(1)).toEqual({ kernel: short, splits: 1 });
    expect(plan(4096)).toEqual({ kernel: short, splits: 32 });
    expect(plan(16_384)).toEqual({ kernel: middle, splits: 64 });
    expect(plan(32_768)).toEqual({ kernel: long, splits: 64 });
    expect(plan(131_072)).toEqual({ kernel: long, splits: 64 });
    expect(plan(131_072, 1024)).toEqual({ kernel: short, splits: 8 });
    expect(plan(4096, 0, 16).kernel).toBe(long);
  });

  it("compiles in f16 for every type, head dimension and group", async () => {
    const { create } = (await import("webgpu")) as { create: (options: string[]) => GPU };
    const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
    const adapter = (await gpu.requestAdapter())!;
    const device = await adapter.requestDevice({ requiredFeatures: ["shader-f16", "subgroups"] as GPUFeatureName[] });
    const features = { f16: true, subgroups: true, subgroupSize: 32, timestamps: false, matrices: false };
    const context = new GpuContext({ device, adapterName: "null", features, missing: [], isSoftware: false });
    const allocator = new BufferAllocator(context);
    const commands = new Commands(context, allocator);
    for (const kv of [
      "k4v4",
      "k3v3",
      "k8v4",
      "f16",
      "k5v1",
      "q8_0",
      "k4v4,sinks=0,window=0",
      "f16,v=tq4",
      "k2v2,trellis=on",
      "k4v2,trellis=on",
    ]) {
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
        const kv = new PreparedLayer(spec.forLayer(0), shape);
        const layer = { ...shape, index: 0, numHeads: 2 * group, kv, slidingWindow: 0 };
        device.pushErrorScope("validation");
        decodeKernels(commands, { layer: layer as AttentionLayer, cache, centroidsAt: { k: 0, v: 16 } });
        expect((await device.popErrorScope())?.message, `${kv}, head_dim ${headDim}, group ${group}`).toBeUndefined();
      }
    }
    context.dispose();
    expect(gpu).toBeDefined(); // Dawn crashes when this is collected before its devices
  });
});
