/** @file A matrix product for the tuner: weights that take turns, and values in f64 to check plans by. */
import type { GpuContext } from "../../backends/webgpu/device/context.ts";
import { asGpuWeight, GpuWeight, WeightLoader } from "../../backends/webgpu/linear/gpu-weight.ts";
import { LinearKernels } from "../../backends/webgpu/linear/linear.ts";
import type { LinearPlan } from "../../backends/webgpu/linear/linear-plan.ts";
import type { Plan } from "../../backends/webgpu/plans/kernel-plans.ts";
import {
  type ProductQuestion,
  productKey,
  productName,
  productRule,
  productSpace,
  rowClass,
} from "../../backends/webgpu/plans/product-choice.ts";
import type { BufferAllocator, GpuBuffer } from "../../backends/webgpu/queue/buffers.ts";
import type { Commands } from "../../backends/webgpu/queue/commands.ts";
import { toFloat16Bits } from "../../math/float16.ts";
import { CounterRng } from "../../math/rng.ts";
import { keptValues, type WeightPart } from "../../weights/weight-part.ts";
import { type Clock, callsOfSample } from "./clock.ts";
import type { Subject } from "./search.ts";

/** Stream of the counter-based RNG. */
const STREAM_TUNE = 0x70e5;
/** Rows of the weight that differ; a number that no tile divides. */
const DISTINCT_ROWS = 251;
/** Values of x before they repeat. */
const DISTINCT_VALUES = 262_139;
/** Weights that take turns have at least so many bytes together: more than caches hold. */
const TURN_BYTES = 192 << 20;
const MOST_TURNS = 48;
const MOST_DISPATCHES = 64;
const CHECKED_ROWS = 8;
const CHECKED_OUTPUTS = 256;
/** Length of the difference over that of the products: of plans that round to f16, and of others. */
const HALF_LIMIT = 1e-3;
const FLOAT_LIMIT = 1e-5;

export interface ProductDevice {
  readonly context: GpuContext;
  readonly allocator: BufferAllocator;
  readonly commands: Commands;
  readonly clock: Clock;
}

const gaussians = (seed: number, length: number, scale: number): Float32Array => {
  const rng = new CounterRng(seed, STREAM_TUNE);
  return Float32Array.from({ length }, (_, i) => rng.gaussian(i) * scale);
};

/** `length` numbers below `most`: the ends, and what lies around the borders of tiles, then others. */
function places(most: number, length: number): number[] {
  const found = new Set([0, most - 1, 1, 15, 16, 63, 64, 127, 128].filter((at) => at >= 0 && at < most));
  const rng = new CounterRng(most, STREAM_TUNE);
  for (let i = 0; found.size < Math.min(length, most); i++) found.add(rng.uint32(i) % most);
  return [...found].slice(0, length);
}

export class ProductSubject implements Subject {
  readonly key: string;
  readonly rule: LinearPlan;
  readonly #device: ProductDevice;
  readonly #question: ProductQuestion;
  readonly #kernels: LinearKernels;
  readonly #weights: readonly GpuWeight[];
  readonly #x: GpuBuffer;
  readonly #out: GpuBuffer;
  /** The rows and outputs that are checked, and their products. */
  readonly #rows: readonly number[];
  readonly #outputs: readonly number[];
  readonly #expected: Float64Array;
  #turn = 0;
  #dispatches = 0;

  /** question: its rows become those of its class */
  static async create(device: ProductDevice, question: ProductQuestion): Promise<ProductSubject> {
    const { type, outputs, cols } = question;
    const distinct = Math.min(outputs, DISTINCT_ROWS);
    const values = gaussians(1, distinct * cols, 0.05);
    const part: WeightPart = {
      dtype: "f16",
      rows: distinct,
      cols,
      data: new Uint8Array(Uint16Array.from(values, toFloat16Bits).buffer),
    };
    const writer = new WeightLoader(device.context, device.commands, device.allocator).createWeight(
      outputs,
      cols,
      type,
    );
    for (let row = 0; row < outputs; row += distinct) {
      const rows = Math.min(distinct, outputs - row);
      await writer.write(
        rows === distinct ? part : { ...part, rows, data: part.data.subarray(0, rows * cols * 2) },
        row,
      );
    }
    return new ProductSubject(device, question, asGpuWeight(writer.finish()), keptValues([part], type).data);
  }

  private constructor(device: ProductDevice, asked: ProductQuestion, weight: GpuWeight, distinct: Float32Array) {
    const question = { ...asked, rows: rowClass(asked.rows) };
    const { outputs, cols, rows, gated } = question;
    const { context, commands, allocator } = device;
    this.#device = device;
    this.#question = question;
    this.key = productKey(question);
    this.rule = productRule(context, weight, rows, gated);
    this.#kernels = new LinearKernels(context, commands, allocator);
    const turns = context.isSoftware ? 1 : Math.min(MOST_TURNS, Math.ceil(TURN_BYTES / weight.numBytes));
    this.#weights = [weight, ...Array.from({ length: Math.max(0, turns - 1) }, () => this.#copyOf(weight))];
    const pattern = gaussians(2, DISTINCT_VALUES, 1);
    this.#x = allocator.allocate(rows * cols * 4, "tune");
    for (let at = 0; at < rows * cols; at += pattern.length) {
      commands.write(this.#x, at * 4, pattern.subarray(0, Math.min(pattern.length, rows * cols - at)));
    }
    const width = gated ? outputs / 2 : outputs;
    this.#out = allocator.allocate(rows * width * 4, "tune");
    this.#rows = places(rows, CHECKED_ROWS);
    this.#outputs = places(width, CHECKED_OUTPUTS);
    const numDistinct = distinct.length / cols;
    const product = (row: number, output: number): number => {
      let sum = 0;
      const at = (output % numDistinct) * cols;
      for (let i = 0; i < cols; i++) sum += pattern[(row * cols + i) % pattern.length]! * distinct[at + i]!;
      return sum;
    };
    this.#expected = Float64Array.from(
      this.#rows.flatMap((row) =>
        this.#outputs.map((output) => {
          const value = product(row, output);
          return gated ? (value / (1 + Math.exp(-value))) * product(row, width + output) : value;
        }),
      ),
    );
  }

  neighbours(): readonly LinearPlan[] {
    const { rows, gated } = this.#question;
    return productSpace(this.#device.context, this.#weights[0]!, rows, gated);
  }

  nameOf(plan: Plan): string {
    return productName(plan as LinearPlan);
  }

  async check(plan: Plan): Promise<{ difference: number; limit: number }> {
    const { commands } = this.#device;
    const { outputs, gated } = this.#question;
    const width = gated ? outputs / 2 : outputs;
    await commands.warmUp(() => this.#run(plan as LinearPlan));
    const poison = new Float32Array(width).fill(Number.NaN);
    for (const row of this.#rows) commands.write(this.#out, row * width * 4, poison);
    this.#turn = 0;
    this.#run(plan as LinearPlan);
    let [difference, length, at] = [0, 0, 0];
    for (const row of this.#rows) {
      const values = new Float32Array(await commands.read(this.#out, row * width * 4, width * 4));
      // What is written nowhere makes the difference no number.
      if (!values.every(Number.isFinite)) difference = Number.NaN;
      for (const output of this.#outputs) {
        const expected = this.#expected[at++]!;
        difference += (values[output]! - expected) ** 2;
        length += expected ** 2;
      }
    }
    const { kernel } = plan as LinearPlan;
    const limit = kernel === "rows" || kernel === "tiled" ? FLOAT_LIMIT : HALF_LIMIT;
    return { difference: Math.sqrt(difference / length), limit };
  }

  async time(plan: Plan): Promise<number> {
    const { clock, context } = this.#device;
    const run = (): void => this.#run(plan as LinearPlan);
    if (this.#dispatches === 0) {
      this.#dispatches = await callsOfSample(clock, run, context.isSoftware ? 1 : MOST_DISPATCHES);
    }
    return clock.time(run, this.#dispatches);
  }

  async dispose(): Promise<void> {
    const { allocator } = this.#device;
    const buffers = this.#weights.flatMap(({ chunks }) => chunks.flatMap(({ words, scales }) => [words, scales]));
    for (const buffer of new Set([...buffers, this.#x, this.#out])) allocator.free(buffer);
  }

  #run(plan: LinearPlan): void {
    const { rows, gated } = this.#question;
    const weight = this.#weights[this.#turn++ % this.#weights.length]!;
    if (gated) this.#kernels.runGated(this.#x, weight, rows, this.#out, null, plan as LinearPlan & { kernel: "rows" });
    else this.#kernels.run(this.#x, weight, null, rows, this.#out, false, null, plan);
  }

  #copyOf({ rows, cols, type, chunks, fitsHalf }: GpuWeight): GpuWeight {
    const { allocator, commands } = this.#device;
    const copy = (buffer: GpuBuffer): GpuBuffer => {
      const own = allocator.allocate(buffer.numBytes, "tune");
      commands.copy(buffer, 0, own, 0, buffer.numBytes);
      return own;
    };
    const own = chunks.map((chunk) => {
      const words = copy(chunk.words);
      return { ...chunk, words, scales: chunk.scales === chunk.words ? words : copy(chunk.scales) };
    });
    return new GpuWeight(rows, cols, type, own, fitsHalf);
  }
}
