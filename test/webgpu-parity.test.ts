/**
 * @file The WebGPU backend against the reference on the KV path, its kernels together, as in backend-parity.test.ts. Every width, head
 * dimension and number of heads is in the tests of each kernel: append, decode attention (with subgroups and without) and prefill.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Ops } from "../src/backends/ops.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { createWebGpuBackend, type WebGpuBackend } from "../src/backends/webgpu/backend.ts";
import { CounterRng } from "../src/math/rng.ts";
import { gpuSkip } from "./support/gpu.ts";
import { BEYOND_FLOAT16, differenceOf, FIRST_VALUE, type KvCase, layerOf, runCase } from "./support/kv-case.ts";
import { tolerance } from "./tolerances.ts";

const BARE = ",sinks=0,window=0";

describe.skipIf(gpuSkip)(`webgpu attention against the reference${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let gpu: WebGpuBackend;
  let reference: Ops;
  beforeAll(async () => {
    gpu = await createWebGpuBackend();
    reference = createReferenceBackend();
  });
  afterAll(async () => {
    await gpu.dispose();
  });

  const limitOf = (): number => (gpu.context.features.f16 ? tolerance.attentionHalf.max : tolerance.attentionGpu.max);
  async function compare(c: KvCase): Promise<void> {
    const { pages, output } = await differenceOf(gpu, reference, c);
    if (!c.rope) expect(pages).toBeLessThanOrEqual(gpu.context.isSoftware ? 0 : tolerance.pageBytes.max);
    expect(output).toBeLessThan(limitOf());
  }

  // f16 is below, f32 in golden.test.ts.
  it.each(["q8_0", "q4_0r", "paper-4,v=f16", "k4v4,rotation=qr", "k4v4,rotation=none"])("%s", async (kv) => {
    await compare({ kv, numHeads: 4, numKvHeads: 2, steps: [1, 33, 1, 65, 2] });
  });

  // Pages of 64, tiles of 32, passes of 128; parts that a prompt of thousands is cut into are in prefill-attention.test.ts.
  it.each([1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000])("length %d, as a prompt and then a token", async (n) => {
    await compare({ kv: `k4v4${BARE}`, steps: [n, 1] });
  });

  it("an odd shape through every kernel, token by token and in prompts", async () => {
    const shape = { headDim: 40, numHeads: 6, numKvHeads: 2 };
    await compare({ kv: "k8v3,window=20,sinks=3", ...shape, steps: [1, 33, 1, 66, 3] });
  });

  // Workgroups take up to 16 heads, and a tile of a prompt at most 64.
  it("many query heads a KV head", async () => {
    for (const [kv, group] of [
      ["k4v4", 17],
      [`k4v4${BARE}`, 33],
      ["f16", 71],
    ] as const) {
      await compare({ kv, headDim: 16, numHeads: group * 2, numKvHeads: 2, steps: [9, 1] });
    }
  });

  it("long heads: more pairs of RoPE than invocations, signs that do not fit workgroup memory", async () => {
    await compare({ kv: `k8v2${BARE}`, headDim: 576, numHeads: 4, numKvHeads: 2, steps: [9, 1] });
    await compare({ kv: "k3v4,window=4,sinks=2", headDim: 320, steps: [9, 1], calibrated: true });
    await compare({ kv: "f16", headDim: 576, steps: [9, 1], rope: true });
  });

  // Codes of one width, so that the kernels are the same; widths with and without windows are in the tests of each kernel.
  it.each(["k4v4,window=128,sinks=4", "k4v4,window=16,sinks=0", "paper-4,window=0,sinks=7", "k4v4,window=1,sinks=1"])(
    "sinks and window: %s",
    async (kv) => {
      await compare({ kv, steps: [5, 1, 140, 1, 20, 3] });
    },
  );

  it("after a rollback the window is what is left of it", async () => {
    await compare({ kv: "k4v4,window=32,sinks=4", steps: [140, 1, 30], trimTo: 100 });
    await compare({ kv: "k4v4,window=32,sinks=4", steps: [140, 1, 1], trimTo: 2 });
  });

  it.each([1, 17, 100])("sliding window of %d", async (slidingWindow) => {
    await compare({ kv: `k4v4${BARE}`, steps: [110, 1, 30], slidingWindow });
    await compare({ kv: "k4v4", steps: [110, 1, 30], slidingWindow });
  });

  it("calibrated keys and RoPE", async () => {
    await compare({ kv: "k4v4", numHeads: 4, numKvHeads: 2, steps: [150, 1], calibrated: true });
    await compare({ kv: "f16", numHeads: 4, numKvHeads: 2, steps: [100, 1], rope: true });
  });

  it("zeros, huge values, one spike, NaN and infinities", async () => {
    const rng = new CounterRng(2, 2);
    // Heads as above, where these kernels were made.
    for (const c of [{ kv: `k4v4${BARE}` }, { kv: "q8_0", numHeads: 4, numKvHeads: 2 }]) {
      await compare({ ...c, steps: [40, 1], fill: () => 0 });
      await compare({ ...c, steps: [40, 1], fill: (i) => rng.gaussian(i) * 1e4 });
      await compare({ ...c, steps: [40, 1], fill: (i) => (i % 64 === 3 ? 50 : 1e-3) });
    }
    const bad = [Number.NaN, Number.POSITIVE_INFINITY, -1e30, 1];
    await compare({ kv: `k4v4${BARE}`, steps: [40, 1], fill: (i) => (i % 256 < 128 ? rng.gaussian(i) : bad[i % 4]!) });
  });

  it("the f32 cache keeps what f16 cannot hold", async () => {
    const c: KvCase = { kv: "f32", ...BEYOND_FLOAT16, steps: [1, 7] };
    const { outputs, sequence } = await runCase(gpu, c, layerOf(c));
    expect(Math.max(...outputs[0]!.map((x, i) => Math.abs(x / FIRST_VALUE[i]! - 1)))).toBeLessThan(1e-6);
    sequence.release();
    await compare(c);
  });

  it("what has no kernel is refused with the next step", async () => {
    await expect(compare({ kv: "paper-4+qjl", steps: [3] })).rejects.toThrow(/--backend wasm/);
  });
});
