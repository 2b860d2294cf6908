/** @file How the GPU's time of a prompt, or of a token, is shared out among kernels: every dispatch in a pass of its own, between timestamps. */
import type { WebGpuBackend } from "../../src/backends/webgpu/backend.ts";
import { BufferUsage, MAP_READ } from "../../src/backends/webgpu/device/gpu-flags.ts";
import { makeShapeModel } from "../../src/bench/bench-model.ts";
import { randomTokens } from "../../src/bench/throughput.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import { Runner } from "../../src/engine/runner.ts";
import { withCalibrations } from "./calibrated.ts";

/** Most queries of a set. */
const QUERIES = 4096;
const SETS = 3;
/** Drivers go on optimising a kernel while it runs, and an idle device clocks down. */
const WARM_UPS = 4;

type KernelTimes = Map<string, { us: number; calls: number }>;

/** Puts each dispatch of a device into a pass of its own. returns: a reader of what ran since it was last called */
function timeDispatches(device: GPUDevice): () => Promise<KernelTimes> {
  const sets = Array.from({ length: SETS }, () => device.createQuerySet({ type: "timestamp", count: QUERIES }));
  const bytes = SETS * QUERIES * 8;
  const resolved = device.createBuffer({ size: bytes, usage: BufferUsage.queryResolve | BufferUsage.copySrc });
  const staging = device.createBuffer({ size: bytes, usage: BufferUsage.mapRead | BufferUsage.copyDst });
  const createEncoder = device.createCommandEncoder.bind(device);
  let labels: string[] = [];
  const nextStamps = (label: string): GPUComputePassDescriptor => {
    const at = labels.length * 2;
    const querySet = sets[Math.floor(at / QUERIES)];
    if (!querySet) return {};
    labels.push(label);
    const first = at % QUERIES;
    return { timestampWrites: { querySet, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 } };
  };
  device.createCommandEncoder = () => {
    const encoder = createEncoder();
    const begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = () => {
      let pipeline: GPUComputePipeline;
      let group: readonly [number, GPUBindGroup, number[]];
      return {
        setPipeline(value: GPUComputePipeline) {
          pipeline = value;
        },
        setBindGroup(...values: [number, GPUBindGroup, number[]]) {
          group = values;
        },
        dispatchWorkgroups(x: number, y: number, z: number) {
          const pass = begin(nextStamps(pipeline.label));
          pass.setPipeline(pipeline);
          pass.setBindGroup(...group);
          pass.dispatchWorkgroups(x, y, z);
          pass.end();
        },
        end() {},
      } as unknown as GPUComputePassEncoder;
    };
    return encoder;
  };
  return async () => {
    const times: KernelTimes = new Map();
    const encoder = createEncoder();
    for (const [i, querySet] of sets.entries()) {
      encoder.resolveQuerySet(querySet, 0, QUERIES, resolved, i * QUERIES * 8);
    }
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    const stamps = new BigUint64Array(staging.getMappedRange().slice(0));
    staging.unmap();
    for (const [i, label] of labels.entries()) {
      const known = times.get(label) ?? { us: 0, calls: 0 };
      times.set(label, {
        us: known.us + Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1000,
        calls: known.calls + 1,
      });
    }
    labels = [];
    return times;
  };
}

const rounded = (value: number): number => Math.round(value * 10) / 10;

/** Rows of one format: the kernels by their share, and all of them. */
function* rowsOf(row: object, times: KernelTimes): Generator<object> {
  const total = [...times.values()].reduce((sum, { us }) => sum + us, 0);
  for (const [kernel, { us, calls }] of [...times].sort((a, b) => b[1].us - a[1].us)) {
    yield { ...row, kernel, us: rounded(us), calls, percent: rounded((us / total) * 100) };
  }
  yield { ...row, kernel: "all", us: rounded(total) };
}

/** What is timed with a runner of each format: returns what the dispatches of one prompt, or of one token, took. */
type Timed = (runner: Runner, sequence: Sequence, read: () => Promise<KernelTimes>) => Promise<KernelTimes>;

async function* measure(
  shape: string,
  kv: readonly string[],
  row: object,
  contextLength: number,
  timed: (tokens: Int32Array) => Timed,
  isCalibrated: boolean,
): AsyncGenerator<object> {
  const plain = await makeShapeModel(shape, { backend: "webgpu", weights: "f16" });
  const model = isCalibrated ? withCalibrations(plain) : plain;
  try {
    const read = timeDispatches((model.ops as WebGpuBackend).context.device);
    const run = timed(randomTokens(contextLength, model.config.vocabSize));
    for (const format of kv) {
      const [decoder] = await model.decoders([format]);
      const cache = decoder!.createCache();
      const runner = new Runner(decoder!, { contextLength });
      let times: KernelTimes = new Map();
      for (let i = 0; i <= WARM_UPS; i++) {
        const sequence = cache.createSequence();
        times = await run(runner, sequence, read);
        sequence.release();
      }
      yield* rowsOf({ ...row, model: shape, kv: format }, times);
      decoder!.dispose();
    }
  } finally {
    await model.dispose();
  }
}

/** One row a kernel, of one prompt of a model with random weights. */
export function measureKernels(
  shape: string,
  prompt: number,
  kv: readonly string[],
  isCalibrated = false,
): AsyncGenerator<object> {
  const row = { kind: "kernels", prompt, ...(isCalibrated && { isCalibrated }) };
  const timed =
    (tokens: Int32Array): Timed =>
    async (runner, sequence, read) => {
      await runner.prefill(sequence, tokens, {});
      return read();
    };
  return measure(shape, kv, row, prompt, timed, isCalibrated);
}

/** Tokens after which those that are counted come, and their number. */
const TOKENS = { before: 40, counted: 20 };

/**
 * One row a kernel, of one token after a context of so many, the mean of some tokens. streams: sequences that are decoded together;
 * they have the same prompt, but no pages in common beyond it
 */
export function measureTokenKernels(
  shape: string,
  context: number,
  kv: readonly string[],
  streams = 1,
  isCalibrated = false,
): AsyncGenerator<object> {
  const all = context + TOKENS.before + TOKENS.counted;
  const row = { kind: "token-kernels", context, streams, ...(isCalibrated && { isCalibrated }) };
  const timed =
    (tokens: Int32Array): Timed =>
    async (runner, sequence, read) => {
      await runner.prefill(sequence, tokens.subarray(0, context), {});
      const forks = Array.from({ length: streams - 1 }, () => sequence.fork());
      await read();
      const sums: KernelTimes = new Map();
      for (let n = 0; n < TOKENS.before + TOKENS.counted; n++) {
        const token = tokens.subarray(context + n, context + n + 1);
        await runner.step([sequence, ...forks].map((each) => ({ sequence: each, tokens: token, logits: "last" })));
        const times = await read();
        if (n < TOKENS.before) continue;
        for (const [kernel, { us, calls }] of times) {
          const sum = sums.get(kernel) ?? { us: 0, calls };
          sums.set(kernel, { us: sum.us + us / TOKENS.counted, calls });
        }
      }
      for (const fork of forks) fork.release();
      return sums;
    };
  return measure(shape, kv, row, all, timed, isCalibrated);
}
