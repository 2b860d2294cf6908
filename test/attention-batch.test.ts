/** @file A step over several sequences: decoding and prompts of different lengths together, against the reference. */

import { describe, expect, it } from "vitest";
import { layerCache } from "../src/cache/layer-cache.ts";
import "../src/node/install.ts";
import type { AttentionLayer, Ops, Rope, Span, Step } from "../src/backends/ops.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { createWebGpuBackend } from "../src/backends/webgpu/backend.ts";
import { KvCache } from "../src/cache/kv-cache.ts";
import { PagePool } from "../src/cache/page-pool.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import { PreparedLayer } from "../src/quant/prepared-layer.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { gaussians, relativeError, upload } from "./support/wasm-backend.ts";
import { tolerance } from "./tolerances.ts";

const HEAD_DIM = 64;
const NUM_HEADS = 6;
const NUM_KV_HEADS = 2;
const WIDTH = (NUM_HEADS + 2 * NUM_KV_HEADS) * HEAD_DIM;
const ROPE: Rope = {
  invFreq: Float64Array.from({ length: HEAD_DIM / 2 }, (_, i) => 10_000 ** ((-2 * i) / HEAD_DIM)),
  attentionFactor: 1,
};

/** Tokens that each step adds to each of four sequences. */
const STEPS: readonly (readonly number[])[] = [
  [70, 3, 130, 1],
  [1, 1, 1, 1],
  [1, 40, 2, 5],
  [0, 1, 0, 90],
  [1, 1, 1, 1],
];

async function run(ops: Ops, layer: AttentionLayer): Promise<Float32Array[]> {
  const cache = new KvCache(
    [{ numKvHeads: NUM_KV_HEADS, headDim: HEAD_DIM }],
    () => layer.kv.format,
    new PagePool(ops.pages),
  );
  const sequences = STEPS[0]!.map(() => cache.createSequence());
  const outputs: Float32Array[] = [];
  for (const [index, counts] of STEPS.entries()) {
    const spans: Span[] = [];
    let rows = 0;
    counts.forEach((count, i) => {
      if (count === 0) return;
      const sequence = sequences[i]!;
      sequence.reserve(count);
      spans.push({ sequence, start: sequence.length, count, row: rows });
      rows += count;
    });
    const step: Step = {
      tokens: new Int32Array(rows),
      positions: Int32Array.from(
        spans.flatMap(({ start, count }) => Array.from({ length: count }, (_, n) => start + n)),
      ),
      spans,
      logitRows: new Int32Array(0),
    };
    const qkv = upload(ops, gaussians(index + 1, rows * WIDTH));
    const [q, out] = [ops.alloc(rows * NUM_HEADS * HEAD_DIM), ops.alloc(rows * NUM_HEADS * HEAD_DIM)];
    ops.beginStep(step, [ROPE]);
    ops.appendKv(step, layer, qkv, q);
    ops.attend(step, layer, q, out);
    outputs.push(await ops.readback(out, rows * NUM_HEADS * HEAD_DIM));
    for (const { sequence, count } of spans) sequence.commit(count);
  }
  for (const sequence of sequences) sequence.release();
  return outputs;
}

const CASES: readonly (readonly [string, number])[] = [
  ["f16", 0],
  ["k4v4,sinks=0,window=0", 0],
  ["k4v4,sinks=4,window=32", 0],
  ["k8v3,sinks=2,window=0", 0],
  ["k5v6,sinks=0,window=16", 48],
];

async function compare(ops: Ops, kv: string, slidingWindow: number): Promise<void> {
  const layer: AttentionLayer = {
    index: 0,
    numHeads: NUM_HEADS,
    numKvHeads: NUM_KV_HEADS,
    headDim: HEAD_DIM,
    cache: layerCache(parseKvSpec(kv).forLayer(0), { numKvHeads: NUM_KV_HEADS, headDim: HEAD_DIM, slidingWindow }),
    kv: new PreparedLayer(parseKvSpec(kv).forLayer(0), { numKvHeads: NUM_KV_HEADS, headDim: HEAD_DIM }),
    slidingWindow,
    scale: 1 / Math.sqrt(HEAD_DIM),
    qNorm: null,
    kNorm: null,
    rope: 0,
    normEps: 1e-6,
  };
  const [own, expected] = [await run(ops, layer), await run(createReferenceBackend(), layer)];
  own.forEach((output, step) => {
    expect(output.length).toBe(expected[step]!.length);
    expect(relativeError(output, expected[step]!), `step ${step}`).toBeLessThan(tolerance.attentionBatch.max);
  });
}

describe("wasm", () => {
  it.each(CASES)("%s, sliding window %d", async (kv, slidingWindow) => {
    const wasm = await createWasmBackend({ threads: 2 });
    await compare(wasm, kv, slidingWindow);
    await wasm.dispose();
  });
});

describe.skipIf(gpuSkip)(`webgpu${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  // Making the kernels of a format takes SwiftShader seconds: one case for each variant.
  it.each([
    [{}, CASES[2]!],
    [{ without: ["subgroups"] }, CASES[4]!],
  ] as const)(
    "%j, %s",
    async (options, [kv, slidingWindow]) => {
      const gpu = await createWebGpuBackend(options);
      await compare(gpu, kv, slidingWindow);
      await gpu.dispose();
    },
    GPU_TIMEOUT_MS,
  );
});
