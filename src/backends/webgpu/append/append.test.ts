import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomCalibration } from "../../../../test/support/calibration.ts";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { gaussians, relativeError } from "../../../../test/support/wasm-backend.ts";
import { tolerance } from "../../../../test/tolerances.ts";
import { KvCache } from "../../../cache/kv-cache.ts";
import { layerCache } from "../../../cache/layer-cache.ts";
import { MemoryPageStorage } from "../../../cache/memory-storage.ts";
import { PagePool } from "../../../cache/page-pool.ts";
import type { PageStorage } from "../../../cache/page-storage.ts";
import { parseKvSpec } from "../../../quant/parse-kv-spec.ts";
import { PreparedLayer } from "../../../quant/prepared-layer.ts";
import type { AttentionLayer, Rope, Step } from "../../ops.ts";
import { appendKv } from "../../reference/append.ts";
import { GpuPageStorage } from "../queue/page-storage.ts";
import { StepBuffer } from "../queue/step-buffer.ts";
import { AppendKernels } from "./append.ts";

interface Case {
  readonly kv: string;
  readonly headDim?: number;
  readonly numHeads?: number;
  readonly numKvHeads?: number;
  readonly steps?: readonly number[];
  readonly calibrated?: boolean;
  readonly fill?: (i: number) => number;
}

/** Bytes that differ, of how many. */
interface Difference {
  bytes: number;
  of: number;
}

describe.skipIf(gpuSkip).each([{}, { without: ["subgroups", "f16"] as const }])(
  `webgpu append %j${gpuSkip ? ` (${gpuSkip})` : ""}`,
  (options) => {
    const isPortable = "without" in options;
    let gpu: TestGpu;
    let storage: GpuPageStorage;
    let steps: StepBuffer;
    let kernels: AppendKernels;
    beforeAll(async () => {
      gpu = await openTestGpu(options);
      storage = new GpuPageStorage(gpu.context, gpu.commands, gpu.allocator);
      steps = new StepBuffer(gpu.commands, gpu.allocator);
      kernels = new AppendKernels(gpu.commands, gpu.allocator, storage, steps);
    });
    afterAll(() => gpu.dispose());

    function layerOf({ kv, headDim = 64, numHeads = 2, numKvHeads = 1, calibrated = false }: Case): AttentionLayer {
      const calibration = calibrated ? randomCalibration(numKvHeads, headDim) : null;
      const prepared = new PreparedLayer(parseKvSpec(kv).forLayer(0), { numKvHeads, headDim }, calibration);
      return {
        index: 0,
        numHeads,
        numKvHeads,
        headDim,
        cache: layerCache(prepared.format, { numKvHeads, headDim }),
        kv: prepared,
        slidingWindow: 0,
        scale: 1 / Math.sqrt(headDim),
        qNorm: null,
        kNorm: null,
        rope: 0,
        normEps: 1e-6,
      };
    }

    async function compare(c: Case, difference: Difference = { bytes: 0, of: 0 }): Promise<Difference> {
      const layer = layerOf(c);
      const { headDim, numHeads, numKvHeads } = layer;
      const shape = { numKvHeads, headDim };
      const rope: Rope = { invFreq: new Float64Array(headDim / 2), attentionFactor: 1 };
      const memory = new MemoryPageStorage();
      const sequenceIn = (pages: PageStorage) =>
        new KvCache([shape], () => layer.kv.format, new PagePool(pages)).createSequence();
      const [own, expected] = [sequenceIn(storage), sequenceIn(memory)];
      const width = (numHeads + 2 * numKvHeads) * headDim;
      let seed = 1;
      for (const count of c.steps ?? [70, 1]) {
        const qkv = c.fill
          ? Float32Array.from({ length: count * width }, (_, i) => c.fill!(i))
          : gaussians(seed++, count * width);
        const stepOn = (sequence: typeof own): Step => ({
          tokens: new Int32Array(count),
          positions: Int32Array.from({ length: count }, (_, i) => sequence.length + i),
          spans: [{ sequence, start: sequence.length, count, row: 0 }],
          logitRows: new Int32Array(0),
        });
        for (const sequence of [own, expected]) sequence.reserve(count);
        const input = gpu.upload(qkv);
        const query = gpu.allocator.allocate(count * numHeads * headDim * 4, "query");
        const step = stepOn(own);
        steps.begin(step);
        kernels.beginStep(step, [rope]);
        kernels.run(step, layer, { q: null, k: null }, input, query);
        const wanted = new Float32Array(count * numHeads * headDim);
        appendKv(memory, stepOn(expected), layer, rope, { q: null, k: null }, qkv, wanted);
        if (!c.fill) {
          expect(relativeError(await gpu.readFloats(query, wanted.length), wanted)).toBeLessThan(
            tolerance.elementwise.max,
          );
        }
        for (const sequence of [own, expected]) sequence.commit(count);
        for (const buffer of [input, query]) gpu.allocator.free(buffer);
      }
      const { main, residual } = own.cache.layers[0]!;
      for (const [a, b, layout] of [
        [own.main(0), expected.main(0), main],
        [own.residual(0), expected.residual(0), residual?.layout],
      ] as const) {
        for (let page = 0; layout && page < a.length; page++) {
          expect(a.get(page) === 0).toBe(b.get(page) === 0);
          if (!a.get(page)) continue;
          const bytes = await storage.read(a.get(page), layout.numBytes);
          const reference = memory.bytes(b.get(page));
          for (let i = 0; i < bytes.length; i++) if (bytes[i] !== reference[i]) difference.bytes++;
          difference.of += bytes.length;
        }
      }
      own.release();
      expected.release();
      return difference;
    }

    const check = async (c: Case): Promise<void> => {
      const { bytes, of } = await compare(c);
      expect(of).toBeGreaterThan(0);
      expect(bytes / of).toBeLessThanOrEqual(gpu.context.isSoftware ? 0 : tolerance.pageBytes.max);
    };

    // Without subgroups the rotation alone is another one: of a head at once, in two rounds, and of more values than there are threads.
    if (isPortable) {
      it.each([
        ["k4v4", 64],
        ["k6v5", 80],
        ["k8v1", 256],
      ])("%s, head_dim %d", async (kv, headDim) => {
        await check({ kv, headDim, numHeads: 4, numKvHeads: 2, steps: [66, 1] });
      });
      return;
    }

    it.each([
      "f16",
      "f32",
      "q8_0",
      "q4_0r",
      "k8v4",
      "k4v4,rotation=qr",
      "k4v4,rotation=none",
      "paper-4",
      "paper-4,v=f16",
      "k4v4,window=1,sinks=1",
    ])("pages of %s", async (kv) => {
      await check({ kv, numHeads: 4, numKvHeads: 2 });
    });

    // Rows of odd widths share words; dimensions that are no power of two take
    // two rounds of the rotation. With the rows above every width is on K or V.
    it.each([
      ["k1v7", 8],
      ["q8_0,v=tq8", 16],
      ["k3v5,sinks=0,window=0", 16],
      ["k2v6", 40],
      ["k6v5", 80],
      ["k7v3", 96],
      ["k4v4", 128],
    ])("%s, head_dim %d", async (kv, headDim) => {
      await check({ kv, headDim, numHeads: 4, numKvHeads: 2, steps: [1, 33, 64] });
    });

    it.each([
      ["k4v4", 64],
      ["k3v2,sinks=0,window=0", 128],
      ["k4v4,feedback=off", 40],
      ["k2v3,transform=off", 64],
      ["k8v4,rotation=qr,scale=norm", 64],
      ["k4v4,search=off,rotation=none,v=q4_0r", 64],
      ["k8v1", 256],
      ["f16", 64],
    ])("calibrated %s, head_dim %d, more query heads than KV heads", async (kv, headDim) => {
      await check({ kv, headDim, numHeads: 4, numKvHeads: 2, steps: [17, 1], calibrated: true });
    });

    it("zeros, huge values, one spike, NaN and infinities", async () => {
      const bad = [Number.NaN, Number.POSITIVE_INFINITY, -1e30, 1, 0];
      // The heads of the tests above, which made these kernels.
      const heads = { numHeads: 4, numKvHeads: 2, steps: [17, 1] };
      for (const kv of ["k4v4", "k8v4", "q8_0", "q4_0r"]) {
        await check({ kv, ...heads, fill: () => 0 });
        await check({ kv, ...heads, fill: (i) => Math.sin(i) * 1e4 });
        await check({ kv, ...heads, fill: (i) => (i % 64 === 3 ? 50 : 1e-3) });
      }
      await check({ kv: "k4v4", ...heads, fill: (i) => bad[i % 5]! });
    });
  },
);
