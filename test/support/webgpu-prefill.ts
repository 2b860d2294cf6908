/** @file Test helper: a sequence appended and attended by the reference backend, and the same pages attended on a device. */
import type { AttentionLayer, Rope, Step } from "../../src/backends/ops.ts";
import { appendKv } from "../../src/backends/reference/append.ts";
import { attend } from "../../src/backends/reference/attend.ts";
import { attendPrefill } from "../../src/backends/webgpu/attention/prefill-attention.ts";
import { canUseMatrixRows } from "../../src/backends/webgpu/attention/prefill-kernels.ts";
import { type PrefillPlan, planPrefill } from "../../src/backends/webgpu/attention/prefill-plan.ts";
import { sideCentroids } from "../../src/backends/webgpu/codec/side-tables.ts";
import type { BufferAllocator, GpuBuffer } from "../../src/backends/webgpu/queue/buffers.ts";
import type { Commands } from "../../src/backends/webgpu/queue/commands.ts";
import { StepBuffer } from "../../src/backends/webgpu/queue/step-buffer.ts";
import { SPAN_WORDS } from "../../src/backends/webgpu/queue/step-records.ts";
import { KvCache } from "../../src/cache/kv-cache.ts";
import { layerCache } from "../../src/cache/layer-cache.ts";
import { MemoryPageStorage } from "../../src/cache/memory-storage.ts";
import { PagePool } from "../../src/cache/page-pool.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { isRotated, type PageLayout } from "../../src/quant/page-layout.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { PreparedLayer } from "../../src/quant/prepared-layer.ts";
import { createRotation } from "../../src/quant/rotation.ts";
import { windowSide } from "../../src/quant/window-side.ts";

export interface PrefillCase {
  readonly kv: string;
  readonly headDim?: number;
  readonly group?: number;
  readonly numKvHeads?: number;
  /** Tokens of each step; the last one is attended. */
  readonly steps: readonly number[];
  readonly slidingWindow?: number;
  /** Roll back to this length before the last step. */
  readonly trimTo?: number;
  /** Another span of so many tokens before and after the one attended, as rows of the same step. */
  readonly besides?: number;
  readonly plan?: Partial<PrefillPlan>;
  /** Standard deviation of the scores; 2 by default. */
  readonly sharpness?: number;
  /** Keys and values are plus and minus this, and queries as much smaller, so that scores are as they were. */
  readonly size?: number;
  /** Workgroup memory of the adapter. */
  readonly workgroupBytes?: number;
}

/** What a test opens. */
export interface PrefillDevice {
  readonly commands: Commands;
  readonly allocator: BufferAllocator;
  upload(data: Uint8Array | Uint32Array | Float32Array): GpuBuffer;
  readFloats(buffer: GpuBuffer, length: number): Promise<Float32Array>;
}

export interface PrefillResult {
  readonly expected: Float32Array;
  readonly actual: Float32Array;
  readonly headDim: number;
}

export function layerOf(c: PrefillCase): AttentionLayer {
  const { headDim = 64, group = 2, numKvHeads = 1 } = c;
  return {
    index: 0,
    numHeads: group * numKvHeads,
    numKvHeads,
    headDim,
    valueDim: headDim,
    rotaryKeyDim: 0,
    cache: layerCache(parseKvSpec(c.kv).forLayer(0), { numKvHeads, headDim, slidingWindow: c.slidingWindow ?? 0 }),
    kv: new PreparedLayer(parseKvSpec(c.kv).forLayer(0), { numKvHeads, headDim }),
    slidingWindow: c.slidingWindow ?? 0,
    // Larger than usual: a softmax of random vectors is otherwise close to a mean, in which errors average out.
    scale: (c.sharpness ?? 2) / Math.sqrt(headDim),
    valueScale: 1,
    softcap: 0,
    sinkLogits: null,
    qNorm: null,
    kNorm: null,
    rope: 0,
    normEps: 1e-6,
  };
}

/** Appends and attends steps with the reference; returns the last one. */
function reference(
  c: PrefillCase,
  layer: AttentionLayer,
  storage: MemoryPageStorage,
): { step: Step; q: Float32Array; out: Float32Array } {
  const { numHeads, numKvHeads, headDim: d } = layer;
  const cache = new KvCache([{ numKvHeads, headDim: d }], () => layer.kv.format, new PagePool(storage));
  const rope: Rope = {
    invFreq: Float64Array.from({ length: d / 2 }, (_, i) => 10000 ** ((-2 * i) / d)),
    attentionFactor: 1,
  };
  const rng = new CounterRng(7, d);
  let drawn = 0;
  const width = (numHeads + 2 * numKvHeads) * d;
  const { size } = c;
  const draw = (isQuery: boolean): number => {
    const value = rng.gaussian(drawn++);
    if (!size) return value;
    return isQuery ? value / size : Math.sign(value) * size;
  };
  const run = (parts: readonly (readonly [Sequence, number])[]) => {
    let row = 0;
    const spans = parts.map(([sequence, count]) => {
      sequence.reserve(count);
      const span = { sequence, start: sequence.length, count, row };
      row += count;
      return span;
    });
    const positions = Int32Array.from(
      spans.flatMap(({ start, count }) => Array.from({ length: count }, (_, i) => start + i)),
    );
    const step: Step = { tokens: new Int32Array(row), positions, spans, logitRows: Int32Array.of() };
    const qkv = Float32Array.from({ length: row * width }, (_, i) => draw(i % width < numHeads * d));
    const q = new Float32Array(row * numHeads * d);
    appendKv(storage, step, layer, rope, { q: null, k: null, v: null }, qkv, q);
    return { step, q };
  };
  const sequence = cache.createSequence();
  for (const count of c.steps.slice(0, -1)) {
    run([[sequence, count]]);
    sequence.commit(count);
  }
  if (c.trimTo !== undefined) sequence.trim(c.trimTo);
  const others = c.besides ?? 0;
  const last = run([
    ...(others ? ([[cache.createSequence(), others]] as const) : []),
    [sequence, c.steps.at(-1)!],
    ...(others ? ([[cache.createSequence(), others]] as const) : []),
  ]);
  const out = new Float32Array(last.q.length);
  attend(storage, last.step, layer, null, last.q, out, null, null);
  return { ...last, out };
}

/** All pages of a stream, each in the slot that its address names. */
function uploadPages(
  gpu: PrefillDevice,
  storage: MemoryPageStorage,
  step: Step,
  stream: "main" | "residual",
  layout: PageLayout | null,
): GpuBuffer {
  if (!layout) return gpu.allocator.allocate(16, "no pages");
  const addresses = step.spans.flatMap(({ sequence }) =>
    [...sequence[stream](0).entries()].filter((address) => address > 0),
  );
  const bytes = new Uint8Array((Math.max(0, ...addresses) + 1) * layout.numBytes);
  // What lies in no page must not matter.
  bytes.fill(0x7e);
  for (const address of addresses) bytes.set(storage.bytes(address), address * layout.numBytes);
  return gpu.upload(bytes);
}

export async function runPrefill(gpu: PrefillDevice, c: PrefillCase): Promise<PrefillResult> {
  const { commands, allocator } = gpu;
  const layer = layerOf(c);
  const { numHeads, headDim: d } = layer;
  const { format } = layer.kv;
  const storage = new MemoryPageStorage();
  const { step, q, out } = reference(c, layer, storage);
  const index = c.besides ? 1 : 0;
  const span = step.spans[index]!;
  const cache = span.sequence.cache.layers[0]!;
  const codebooks = [format.k, format.v, windowSide(format)].map((side) => {
    const centroids = sideCentroids(side, d);
    return centroids.length > 0 ? centroids : new Float32Array(4);
  });
  const windowAt = codebooks[0]!.length + codebooks[1]!.length;
  const at = {
    centroidsAt: { k: 0, v: codebooks[0]!.length },
    ...(format.windowBits === 8 && { windowCentroidsAt: { k: windowAt, v: windowAt } }),
  };
  const onMatrices = canUseMatrixRows(commands.context, { layer, cache, ...at });
  const plan: PrefillPlan = { ...planPrefill(layer, span, onMatrices), ...c.plan };

  const stepBuffer = new StepBuffer(commands, allocator);
  stepBuffer.begin(step);
  const rows = step.tokens.length;
  const buffers = {
    step: stepBuffer.buffer,
    pages: uploadPages(gpu, storage, step, "main", cache.main),
    residualPages: uploadPages(gpu, storage, step, "residual", cache.residual?.layout ?? null),
    centroids: gpu.upload(Float32Array.from(codebooks.flatMap((book) => [...book]))),
    q: gpu.upload(q),
    parts: allocator.allocate(rows * numHeads * plan.splits * d * 4, "parts"),
    stats: allocator.allocate(rows * numHeads * plan.splits * 2 * 4, "stats"),
  };
  attendPrefill(
    commands,
    { layer, cache, ...at, workgroupBytes: c.workgroupBytes },
    plan,
    span,
    stepBuffer.layout.spansAt + index * SPAN_WORDS,
    buffers,
  );
  const parts = await gpu.readFloats(buffers.parts, rows * numHeads * plan.splits * d);
  const stats = await gpu.readFloats(buffers.stats, rows * numHeads * plan.splits * 2);
  for (const buffer of Object.values(buffers)) allocator.free(buffer);

  const rotation = isRotated(format.v, format) ? createRotation(format.rotation, d, format.seed) : null;
  const first = span.row * numHeads;
  const count = span.count * numHeads;
  const actual = new Float32Array(count * d);
  for (let n = 0; n < count; n++) {
    const merged = actual.subarray(n * d, (n + 1) * d);
    // Parts are those of the rows of the span alone.
    mergeSplits(parts, stats, n * plan.splits, plan.splits, merged);
    rotation?.invert(merged);
  }
  return { expected: out.subarray(first * d, (first + count) * d), actual, headDim: d };
}

function mergeSplits(parts: Float32Array, stats: Float32Array, at: number, splits: number, out: Float32Array): void {
  const d = out.length;
  let max = Number.NEGATIVE_INFINITY;
  for (let s = 0; s < splits; s++) max = Math.max(max, stats[(at + s) * 2]!);
  let total = 0;
  for (let s = 0; s < splits; s++) {
    const factor = Math.exp(stats[(at + s) * 2]! - max);
    total += factor * stats[(at + s) * 2 + 1]!;
    for (let i = 0; i < d; i++) out[i] = out[i]! + factor * parts[(at + s) * d + i]!;
  }
  for (let i = 0; i < d; i++) out[i] = out[i]! / total;
}

/** Largest over the heads of all rows: 1 − cos, or the relative error of the length squared. */
export function worstError({ expected, actual, headDim: d }: PrefillResult): number {
  let worst = 0;
  for (let at = 0; at < expected.length; at += d) {
    let [ab, aa, bb] = [0, 0, 0];
    for (let i = at; i < at + d; i++) {
      ab += expected[i]! * actual[i]!;
      aa += expected[i]! ** 2;
      bb += actual[i]! ** 2;
    }
    const error = Math.max(1 - ab / Math.sqrt(aa * bb), (Math.sqrt(bb / aa) - 1) ** 2);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}
