/** @file Matrix products of the device beside plain TypeScript in f64, for tests and for `bench/gpu/main.ts linear-check`. */
import { loadParts } from "../../src/backends/load-parts.ts";
import type { WeightPart, WeightType } from "../../src/backends/ops.ts";
import type { GpuContext } from "../../src/backends/webgpu/device/context.ts";
import { asGpuWeight, type GpuWeight, WeightLoader } from "../../src/backends/webgpu/linear/gpu-weight.ts";
import { LinearKernels } from "../../src/backends/webgpu/linear/linear.ts";
import { fewestBatchRows, type LinearPlan } from "../../src/backends/webgpu/linear/linear-plan.ts";
import type { BufferAllocator, GpuBuffer } from "../../src/backends/webgpu/queue/buffers.ts";
import type { Commands } from "../../src/backends/webgpu/queue/commands.ts";
import { fromBfloat16Bits, fromFloat16Bits, toFloat16Bits } from "../../src/math/float16.ts";
import { keptValues } from "../../src/weights/weight-part.ts";
import { tolerance } from "../tolerances.ts";
import { gaussians, matmul, partOf, relativeError } from "./wasm-backend.ts";

/** The limit of `linearError` by the kernel that a device chooses: matrix units take halves. */
export function linearLimit({ features }: GpuContext, type: WeightType, rows: number): number {
  const onMatrices = features.matrices && type !== "f32" && rows >= fewestBatchRows(type);
  return (onMatrices ? tolerance.linearHalf : tolerance.linearFloat).max;
}

export interface LinearDevice {
  readonly context: GpuContext;
  readonly allocator: BufferAllocator;
  readonly commands: Commands;
}

export interface LinearCase {
  readonly type: WeightType;
  readonly rows: number;
  readonly outputs: number;
  readonly cols: number;
  readonly bias?: boolean;
  readonly add?: boolean;
  /** x is gate and up, of which the product takes silu(gate) · up. */
  readonly gatedInput?: boolean;
  /** The kernel's own choice where absent. */
  readonly plan?: LinearPlan;
  /** The RMS norm of x is taken by the product, or pairs of outputs make one value; `outputs` is then even. */
  readonly fused?: "normed" | "gated" | "normed and gated";
  /** Most bytes of one buffer of the weight. */
  readonly bindingLimit?: number;
}

const roundBfloat16 = (value: number): number => {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return fromBfloat16Bits(((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff);
};

/** What a weight of this type holds after rounding: the definition of the type, one value after the other. */
export function roundWeights(w: Float32Array, cols: number, type: WeightType): Float32Array {
  switch (type) {
    case "f32":
      return w;
    case "f16":
      return w.map((value) => fromFloat16Bits(toFloat16Bits(value)));
    case "bf16":
      return w.map(roundBfloat16);
    default:
      return keptValues([partOf(w, cols)], type).data;
  }
}

const loadedTo = (loader: WeightLoader, part: WeightPart, type: WeightType): GpuWeight =>
  asGpuWeight(loadParts(loader, [part], type));

const EPS = 1e-6;

/** x / rms(x) · weight for each row, as long as `weight`. */
export function normOf(x: Float32Array, weight: Float32Array): Float32Array {
  const cols = weight.length;
  const factors = Array.from({ length: x.length / cols }, (_, r) => {
    const row = x.subarray(r * cols, (r + 1) * cols);
    return 1 / Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / cols + EPS);
  });
  return x.map((value, i) => value * factors[Math.floor(i / cols)]! * weight[i % cols]!);
}

/** silu(a[i]) · a[width + i] for each row, two halves of that width. */
export function gate(values: ArrayLike<number>, width: number = values.length / 2): Float64Array {
  return Float64Array.from({ length: values.length / 2 }, (_, n) => {
    const at = Math.floor(n / width) * 2 * width + (n % width);
    return (values[at]! / (1 + Math.exp(-values[at]!))) * values[at + width]!;
  });
}

export class LinearBench {
  readonly #device: LinearDevice;
  readonly #kernels: LinearKernels;

  constructor(device: LinearDevice) {
    this.#device = device;
    this.#kernels = new LinearKernels(device.context, device.commands, device.allocator);
  }

  /** returns: ‖out − expected‖ / ‖expected‖ over all rows and outputs; infinite when something behind them was written */
  async linearError(wanted: LinearCase): Promise<number> {
    const { type, rows, outputs, cols, bias, add, plan, fused, gatedInput, bindingLimit } = wanted;
    const [normed, gated] = [fused?.includes("normed") ?? false, fused?.includes("gated") ?? false];
    const { context, allocator, commands } = this.#device;
    const loader = new WeightLoader(context, commands, allocator, bindingLimit);
    const w = gaussians(1, outputs * cols, 0.25);
    const x = gaussians(2, rows * cols * (gatedInput ? 2 : 1));
    const normWeight = gaussians(6, cols);
    const biases = gaussians(3, outputs);
    const before = gaussians(4, (rows * outputs) / (gated ? 2 : 1));
    const weight = loadedTo(loader, partOf(w, cols), type);
    const biasWeight = bias ? loadedTo(new WeightLoader(context, commands, allocator), partOf(biases, 1), "f32") : null;
    // What lies behind the output has to stay as it is.
    const guard = gaussians(5, 64);
    const from = this.#upload(x);
    const out = this.#upload(Float32Array.from([...before, ...guard]));
    const factors = this.#upload(normWeight);
    const norm = normed ? ({ kind: "norm", weight: factors, eps: EPS } as const) : null;
    const work = gatedInput ? ({ kind: "gate" } as const) : norm;
    if (gated) this.#kernels.runGated(from, weight, rows, out, work);
    else this.#kernels.run(from, weight, biasWeight, rows, out, add ?? false, work, plan);
    const values = new Float32Array(await commands.read(out, 0, (before.length + guard.length) * 4));
    const input = gatedInput ? Float32Array.from(gate(x, cols)) : normed ? normOf(x, normWeight) : x;
    const products = matmul(input, roundWeights(w, cols, type), cols);
    const expected = gated ? gate(products, outputs / 2) : products;
    for (let i = 0; i < expected.length; i++) {
      expected[i] = expected[i]! + (bias ? biases[i % outputs]! : 0) + (add ? before[i]! : 0);
    }
    const used = [from, out, factors, ...weight.chunks.flatMap(({ words, scales }) => [words, scales])];
    for (const buffer of new Set([...used, ...(biasWeight ? [biasWeight.buffer] : [])])) allocator.free(buffer);
    const intact = guard.every((value, i) => values[before.length + i] === value);
    return intact ? relativeError(values.subarray(0, before.length), expected) : Number.POSITIVE_INFINITY;
  }

  /** Rows of a table, in f32. */
  async embed(type: WeightType, table: Float32Array, cols: number, tokens: readonly number[], bindingLimit?: number) {
    const { context, allocator, commands } = this.#device;
    const loader = new WeightLoader(context, commands, allocator, bindingLimit);
    const weight = loadedTo(loader, partOf(table, cols), type);
    const out = allocator.allocate(tokens.length * cols * 4, "out");
    const list = { tokens: this.#upload(Uint32Array.from(tokens)), tokenAt: 0, tokenStride: 1 };
    this.#kernels.embed(list, tokens.length, weight, out, 1);
    const values = new Float32Array(await commands.read(out, 0, tokens.length * cols * 4));
    return { values, chunks: weight.chunks.length };
  }

  #upload(data: Float32Array | Uint32Array): GpuBuffer {
    const buffer = this.#device.allocator.allocate(data.byteLength, "values");
    this.#device.commands.write(buffer, 0, data);
    return buffer;
  }
}
