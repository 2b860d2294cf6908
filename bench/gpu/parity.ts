/** @file The KV path of the WebGPU backend against the reference on this adapter: bytes of the pages, angle of the outputs. */
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { createWebGpuBackend, type WebGpuBackendOptions } from "../../src/backends/webgpu/backend.ts";
import type { KvCase } from "../../test/support/kv-case.ts";
import { differenceOf } from "../../test/support/kv-difference.ts";

const TOGETHER = Array.from({ length: 64 }, (_, i) => (i * 29) % 190 || 900);
const BARE = ",sinks=0,window=0";
const CASES: readonly KvCase[] = [
  ...[1, 2, 3, 4, 5, 6, 7, 8].map((b) => ({
    kv: `k${b}v${b}${BARE}`,
    numHeads: 4,
    numKvHeads: 2,
    steps: [1, 40, 1, 100, 3],
  })),
  ...["f16", "f32", "q8_0", "q4_0r", "paper-4", "k8v4,window=16bit", "k4v4,rotation=qr,window=16bit"].map((kv) => ({
    kv,
    numHeads: 4,
    numKvHeads: 2,
    steps: [1, 33, 1, 65, 2],
  })),
  ...[8, 40, 64, 80, 96, 128, 256].map((headDim) => ({
    kv: "k4v4,window=16bit",
    headDim,
    numHeads: 4,
    numKvHeads: 2,
    steps: [33, 1, 66, 1],
  })),
  ...[1, 2, 3, 4, 5, 6, 7, 8].map((group) => ({
    kv: "k4v4,window=16bit",
    headDim: 128,
    numHeads: 2 * group,
    numKvHeads: 2,
    steps: [200, 1, 5],
  })),
  { kv: "k4v4,window=32,sinks=4,window=16bit", headDim: 128, steps: [200, 1, 30], trimTo: 120 },
  { kv: "k4v4,window=16bit", headDim: 128, steps: [150, 1, 70], slidingWindow: 100 },
  { kv: "k4v4,window=16bit", headDim: 128, numHeads: 4, numKvHeads: 2, steps: [1000, 1, 1000, 1] },
  // Sequences that are decoded together, with parts of one pass and of several.
  ...["f16", "k4v4,window=16bit", "k2v2,window=16bit"].map((kv) => ({
    kv,
    headDim: 128,
    numHeads: 4,
    numKvHeads: 2,
    steps: [TOGETHER, TOGETHER.map(() => 1)],
  })),
  { kv: "f16", headDim: 128, numHeads: 4, numKvHeads: 2, steps: [1000, 1] },
  // Error feedback, whose codes a subgroup chooses.
  ...[40, 128, 320].flatMap((headDim) =>
    ["k4v4", "k8v5", "k4v4,window=16bit"].map((kv) => ({
      kv,
      headDim,
      numHeads: 4,
      numKvHeads: 2,
      steps: [200, 1],
      calibrated: true,
    })),
  ),
];

export async function* measureParity(options: WebGpuBackendOptions): AsyncGenerator<object> {
  const gpu = await createWebGpuBackend(options);
  const reference = createReferenceBackend();
  try {
    for (const c of CASES) {
      const { headDim = 64, numHeads = 2, numKvHeads = 1 } = c;
      const row = {
        kind: "attention-check",
        what: "pages and attention",
        kv: c.kv,
        precision: gpu.context.features.f16 ? "f16" : "f32",
        without: options.without ?? [],
        headDim,
        group: numHeads / numKvHeads,
        context: c.steps.flat().reduce((sum, n) => sum + n, 0),
      };
      try {
        const { pages, output } = await differenceOf(gpu, reference, c);
        // Where a code at the boundary of its cell came out differently, the outputs differ by what that code is worth.
        yield { ...row, pageBytes: pages, ...(pages === 0 ? { error: output } : { errorWithOtherCodes: output }) };
      } catch (error) {
        yield { ...row, failed: String(error) };
        return;
      }
    }
  } finally {
    await gpu.dispose();
  }
}
