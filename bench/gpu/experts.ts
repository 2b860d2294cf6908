/**
 * @file Time of a mixture of experts over the rows of a prompt, on matrix units and without them, in the shapes of Qwen3-30B-A3B, gpt-oss-20b and
 * DeepSeek-V3.2: `main.ts experts`, or `experts:256,1024` for some row counts. Rows choose experts evenly, as trained routers nearly do.
 *
 * A figure is the device's time of one layer; `difference` is the length of the difference between the two results over that of the result.
 */
import { type Experts, hiddenOf } from "../../src/backends/experts.ts";
import type { WeightType } from "../../src/backends/ops.ts";
import { type OpenOptions, openDevice } from "../../src/backends/webgpu/device/open-device.ts";
import { ElementwiseKernels } from "../../src/backends/webgpu/elementwise/elementwise.ts";
import { ExpertKernels } from "../../src/backends/webgpu/experts/experts.ts";
import { GpuWeight, type WeightChunk } from "../../src/backends/webgpu/linear/gpu-weight.ts";
import { BufferAllocator, type GpuBuffer } from "../../src/backends/webgpu/queue/buffers.ts";
import { Commands } from "../../src/backends/webgpu/queue/commands.ts";
import { timePasses } from "../../src/backends/webgpu/queue/pass-times.ts";
import { toFloat16Bits } from "../../src/math/float16.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { wgslWeightFormat } from "../../src/weights/registry.ts";
import { gaussians } from "../../test/support/wasm-backend.ts";

interface Shape {
  readonly name: string;
  readonly numExperts: number;
  readonly topK: number;
  readonly cols: number;
  readonly width: number;
}

const SHAPES: readonly Shape[] = [
  { name: "qwen3-30b-a3b", numExperts: 128, topK: 8, cols: 2048, width: 768 },
  { name: "gpt-oss-20b", numExperts: 32, topK: 4, cols: 2880, width: 2880 },
  { name: "deepseek-v3.2", numExperts: 256, topK: 8, cols: 7168, width: 2048 },
];
const TYPES: readonly WeightType[] = ["q8", "q4"];
const REPEATS = 7;
/** An idle device clocks down, and drivers go on optimizing a kernel while it runs: it computes for so long before the first repeat. */
const WARM_UP_MS = 2500;

interface Timed {
  readonly us: readonly number[];
  readonly output: Float32Array;
}

async function timeExperts(options: OpenOptions, shape: Shape, type: WeightType, rows: number): Promise<Timed> {
  const { numExperts, topK, cols, width } = shape;
  const context = await openDevice(options);
  const allocator = new BufferAllocator(context);
  const commands = new Commands(context, allocator);
  const kernels = new ExpertKernels(context, commands, allocator, new ElementwiseKernels(commands));
  const read = timePasses(context.device);
  const codes = new Uint8Array(Uint16Array.from(gaussians(1, 1 << 19, 0.02), toFloat16Bits).buffer);
  const scaleValues = gaussians(2, 1 << 18, 1e-4).map(Math.abs);
  // Of q4 a word is a scale and a minimum in f16.
  const factors = new Uint8Array(
    (type === "q4" ? Uint16Array.from(scaleValues, toFloat16Bits) : scaleValues).buffer as ArrayBuffer,
  );
  /** A pattern over and over. */
  const filled = async (bytes: number, pattern: Uint8Array): Promise<GpuBuffer> => {
    const buffer = allocator.allocate(bytes, "bench");
    for (let at = 0; at < bytes; at += pattern.length) {
      commands.write(buffer, at, pattern.subarray(0, Math.min(pattern.length, bytes - at)));
      await commands.drain();
    }
    return buffer;
  };
  /** Cut into buffers of whole experts. */
  const weight = async (height: number, columns: number): Promise<GpuWeight> => {
    const { unitBytes, unitScaleBytes } = wgslWeightFormat(type);
    const units = (height * columns) / 8;
    const atOnce = Math.min(numExperts, Math.floor(context.bindingBytes / (units * unitBytes)));
    const chunks: WeightChunk[] = [];
    for (let first = 0; first < numExperts; first += atOnce) {
      const count = Math.min(atOnce, numExperts - first);
      const words = await filled(count * units * unitBytes, codes);
      const scales = unitScaleBytes > 0 ? await filled(count * units * unitScaleBytes, factors) : words;
      chunks.push({ first: first * height, rows: count * height, words, scales });
    }
    return new GpuWeight(numExperts * height, columns, type, chunks, true);
  };
  const experts: Experts = {
    ...{ numExperts, topK, width, gateUpBias: null, downBias: null, scalesInput: false },
    ...{ gateUp: await weight(2 * width, cols), down: await weight(cols, width) },
    activation: { kind: "silu", isGated: true, alphas: null },
  };
  const rng = new CounterRng(3, 3);
  const routes = new Float32Array(rows * 2 * topK).fill(1 / topK);
  for (let row = 0; row < rows; row++) {
    const first = rng.uint32(row) % numExperts;
    for (let k = 0; k < topK; k++)
      routes[row * 2 * topK + k] = (first + k * Math.floor(numExperts / topK)) % numExperts;
  }
  const floats = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer as ArrayBuffer);
  const x = await filled(rows * cols * 4, floats(gaussians(4, 1 << 18)));
  const chosen = await filled(routes.byteLength, floats(routes));
  const room = (length: number): GpuBuffer => allocator.allocate(length * 4, "bench");
  const pairs = rows * topK;
  const scratch = {
    ...{ hidden: room(pairs * hiddenOf(experts)), activated: room(pairs * width) },
    output: room(pairs * cols),
  };
  const out = room(rows * cols);
  const us: number[] = [];
  const started = performance.now();
  while (us.length < REPEATS) {
    kernels.run(x, chosen, experts, rows, scratch, out, false);
    commands.flush();
    const nanoseconds = await read();
    context.check();
    if (performance.now() - started > WARM_UP_MS) us.push(nanoseconds / 1000);
  }
  const output = new Float32Array(await commands.read(out, 0, rows * cols * 4));
  commands.dispose();
  allocator.dispose();
  context.dispose();
  return { us: us.sort((a, b) => a - b), output };
}

export async function* measureExperts(rowCounts: readonly number[]): AsyncGenerator<object> {
  for (const shape of SHAPES) {
    for (const type of TYPES) {
      for (const rows of rowCounts) {
        const onMatrices = await timeExperts({}, shape, type, rows);
        const plain = await timeExperts({ without: ["matrices"] }, shape, type, rows);
        let [difference, length] = [0, 0];
        for (const [i, value] of plain.output.entries()) {
          difference += (onMatrices.output[i]! - value) ** 2;
          length += value ** 2;
        }
        const [us, plainUs] = [onMatrices, plain].map((timed) => Number(timed.us[REPEATS >> 1]!.toFixed(1)));
        const flops = 6 * rows * shape.topK * shape.cols * shape.width;
        yield {
          ...{ kind: "experts", shape: shape.name, type, rows, us, plainUs },
          ...{ ratio: Number((plainUs! / us!).toFixed(2)), tflops: Number((flops / us! / 1e6).toFixed(1)) },
          difference: Math.sqrt(difference / length),
        };
      }
    }
  }
}
