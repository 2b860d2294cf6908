/**
 * @file Time of matrix products in the shapes of Qwen3-0.6B, for every kernel that could run them: `main.ts linear`, or
 * `linear:1,1024` for some row counts. `main.ts linear-large` has those of Qwen3-8B, and `main.ts linear-views` the kernels
 * that need `buffer_view`, apart because drivers are new to it.
 *
 * A figure is the time of one pass over `dispatches` products, each waiting for the one before as in a model, over weights that
 * together are several times the L2 cache; one row a plan, and `linear-total` for a whole model with the best and the chosen plans.
 */
import type { WeightType } from "../../src/backends/ops.ts";
import type { GpuContext } from "../../src/backends/webgpu/device/context.ts";
import { openDevice } from "../../src/backends/webgpu/device/open-device.ts";
import { MAX_BATCH_ROWS } from "../../src/backends/webgpu/linear/batch-plan.ts";
import { GpuWeight } from "../../src/backends/webgpu/linear/gpu-weight.ts";
import { LinearKernels } from "../../src/backends/webgpu/linear/linear.ts";
import { type LinearPlan, MAX_ROWS, planLinear } from "../../src/backends/webgpu/linear/linear-plan.ts";
import { BufferAllocator } from "../../src/backends/webgpu/queue/buffers.ts";
import { Commands } from "../../src/backends/webgpu/queue/commands.ts";
import { timePasses } from "../../src/backends/webgpu/queue/pass-times.ts";
import { toFloat16Bits } from "../../src/math/float16.ts";
import { wgslWeightFormat } from "../../src/weights/registry.ts";
import { gaussians } from "../../test/support/wasm-backend.ts";
import { planName, ROW_PLANS, tilePlans } from "./linear-check.ts";

interface Shape {
  readonly name: string;
  readonly outputs: number;
  readonly cols: number;
}
interface Model {
  readonly name: string;
  readonly layers: number;
  readonly shapes: readonly Shape[];
  readonly rows: readonly number[];
}
const SMALL_MODEL: Model = {
  name: "qwen3-0.6b",
  layers: 28,
  shapes: [
    { name: "qkv", outputs: 4096, cols: 1024 },
    { name: "o", outputs: 1024, cols: 2048 },
    { name: "gate_up", outputs: 6144, cols: 1024 },
    { name: "down", outputs: 1024, cols: 3072 },
    { name: "head", outputs: 151_936, cols: 1024 },
  ],
  rows: [1, 2, 4, 8, 32, 256, 512, 1024, 2048],
};
const LARGE_MODEL: Model = {
  name: "qwen3-8b",
  layers: 36,
  shapes: [
    { name: "qkv", outputs: 6144, cols: 4096 },
    { name: "o", outputs: 4096, cols: 4096 },
    { name: "gate_up", outputs: 24_576, cols: 4096 },
    { name: "down", outputs: 4096, cols: 12_288 },
  ],
  rows: [256, 512, 1024, 2048],
};

const TYPES: readonly WeightType[] = ["f16", "q8", "q4"];
const VIEW_ROW_COUNTS = [256, 1024];
const MANY_ROWS = 64;
const REPEATS = 7;
/** An idle device clocks down within a second: it computes for so long before the first repeat. */
const WARM_UP_MS = 150;
/** A pass takes about so long, if that needs no more than this many dispatches. */
const PASS_FLOPS = 4e11;
const MOST_DISPATCHES = 64;
/** Weights that take turns together have at least so many bytes. */
const TURN_BYTES = 256 << 20;

function summary(values: readonly number[]): { median: number; min: number; max: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const round = (value: number): number => Number(value.toFixed(2));
  return {
    median: round(sorted[sorted.length >> 1]!),
    min: round(sorted[0]!),
    max: round(sorted.at(-1)!),
  };
}

class LinearTimer {
  readonly context: GpuContext;
  readonly #allocator: BufferAllocator;
  readonly #commands: Commands;
  readonly #kernels: LinearKernels;
  readonly #read: () => Promise<number>;
  readonly #random: Uint8Array<ArrayBuffer>;
  readonly #scales: Float32Array<ArrayBuffer>;
  readonly #activations = new Uint8Array(gaussians(3, 1 << 20).buffer as ArrayBuffer);

  constructor(context: GpuContext) {
    this.context = context;
    this.#allocator = new BufferAllocator(context);
    this.#commands = new Commands(context, this.#allocator);
    this.#kernels = new LinearKernels(context, this.#commands, this.#allocator);
    this.#read = timePasses(context.device);
    // A megabyte over and over: what the values are does not matter, that they are finite does.
    this.#random = new Uint8Array(Uint16Array.from(gaussians(1, 1 << 19, 0.02), toFloat16Bits).buffer);
    this.#scales = gaussians(2, 1 << 18, 1e-4).map(Math.abs) as Float32Array<ArrayBuffer>;
  }

  /** As many copies of a matrix as take turns. */
  weights({ outputs, cols }: Shape, type: WeightType): GpuWeight[] {
    const stride = cols / 8;
    const { unitBytes, unitScaleBytes } = wgslWeightFormat(type);
    const bytes = outputs * stride * unitBytes;
    return Array.from({ length: Math.max(2, Math.ceil(TURN_BYTES / bytes)) }, () => {
      const words = this.#filled(bytes, this.#random);
      const scales =
        unitScaleBytes > 0
          ? this.#filled(outputs * stride * unitScaleBytes, new Uint8Array(this.#scales.buffer))
          : words;
      return new GpuWeight(outputs, cols, type, [{ first: 0, rows: outputs, words, scales }], true);
    });
  }

  activations(length: number) {
    return this.#filled(length * 4, this.#activations);
  }

  #filled(bytes: number, pattern: Uint8Array) {
    const buffer = this.#allocator.allocate(bytes, "bench");
    for (let at = 0; at < bytes; at += pattern.length) {
      this.#commands.write(buffer, at, pattern.subarray(0, Math.min(pattern.length, bytes - at)));
    }
    return buffer;
  }

  /** Microseconds of one product, once a repeat. */
  async time(weights: readonly GpuWeight[], rows: number, plan: LinearPlan, dispatches: number): Promise<number[]> {
    const { cols, rows: outputs } = weights[0]!;
    const x = this.activations(rows * cols);
    const out = this.#allocator.allocate(rows * outputs * 4, "bench");
    const times: number[] = [];
    let turn = 0;
    const started = performance.now();
    while (times.length < REPEATS) {
      for (let i = 0; i < dispatches; i++) {
        this.#kernels.run(x, weights[turn++ % weights.length]!, null, rows, out, false, null, plan);
      }
      this.#commands.flush();
      const nanoseconds = await this.#read();
      this.context.check();
      if (performance.now() - started > WARM_UP_MS) times.push(nanoseconds / 1000 / dispatches);
    }
    this.#allocator.free(x);
    this.#allocator.free(out);
    return times;
  }

  free(weights: readonly GpuWeight[]): void {
    for (const { chunks } of weights) {
      for (const { words, scales } of chunks) {
        this.#allocator.free(words);
        if (scales !== words) this.#allocator.free(scales);
      }
    }
  }

  dispose(): void {
    this.#commands.dispose();
    this.#allocator.dispose();
    this.context.dispose();
  }
}

function plansFor(context: GpuContext, rows: number, views: boolean): LinearPlan[] {
  const tiles = tilePlans(context, views);
  if (views) return tiles;
  // What no device with matrix units would take for many rows is not worth its time.
  const noBatch = ({ kernel }: LinearPlan): boolean => kernel !== "batch";
  if (rows > MANY_ROWS && context.features.matrices) {
    return tiles.filter((plan) => plan.kernel !== "tiled" && noBatch(plan));
  }
  if (rows > MAX_ROWS) return rows > MAX_BATCH_ROWS ? tiles.filter(noBatch) : tiles;
  const matrices = tiles.filter(
    (plan) => plan.kernel === "batch" || (plan.kernel === "matrix" && plan.tile.rows <= 32),
  );
  if (rows === 1) return [...ROW_PLANS];
  return [...ROW_PLANS.filter((plan) => plan.kernel === "rows" && plan.unroll <= 2), ...matrices];
}

async function* measureShape(
  model: string,
  type: WeightType,
  shape: Shape,
  rowCounts: readonly number[],
  views: boolean,
  totals: Totals,
) {
  let timer = new LinearTimer(await openDevice());
  let weights = timer.weights(shape, type);
  for (const rows of rowCounts) {
    // A batch needs the logits of all its rows, a prompt those of its last row only.
    if (shape.name === "head" && rows > MAX_BATCH_ROWS) continue;
    const chosen = planName(planLinear(timer.context, weights[0]!, rows));
    for (const plan of plansFor(timer.context, rows, views)) {
      const name = planName(plan);
      const row = {
        kind: "linear",
        model,
        type,
        shape: shape.name,
        outputs: shape.outputs,
        cols: shape.cols,
        rows,
        plan: name,
      };
      const flops = 2 * rows * shape.outputs * shape.cols;
      const dispatches =
        shape.name === "head" ? 8 : Math.max(4, Math.min(MOST_DISPATCHES, Math.round(PASS_FLOPS / flops)));
      try {
        const us = summary(await timer.time(weights, rows, plan, dispatches));
        const bytes = weights[0]!.numBytes;
        totals.add(type, rows, shape, us.median, name === chosen);
        yield {
          ...row,
          chosen: name === chosen,
          us: us.median,
          minUs: us.min,
          maxUs: us.max,
          gbPerSec: Math.round(bytes / us.median / 1000),
          tflops: Number((flops / us.median / 1e6).toFixed(2)),
          dispatches,
          repeats: REPEATS,
        };
      } catch (error) {
        yield { ...row, error: String((error as Error).message ?? error) };
        timer.dispose();
        timer = new LinearTimer(await openDevice());
        weights = timer.weights(shape, type);
      }
    }
  }
  timer.free(weights);
  timer.dispose();
}

/** Microseconds of all products of a step of the model. */
class Totals {
  readonly #best = new Map<string, number>();
  readonly #chosen = new Map<string, number>();
  readonly #model: Model;

  constructor(model: Model) {
    this.#model = model;
  }

  add(type: WeightType, rows: number, { name }: Shape, us: number, chosen: boolean): void {
    const key = `${type} ${rows} ${name}`;
    this.#best.set(key, Math.min(us, this.#best.get(key) ?? Number.POSITIVE_INFINITY));
    if (chosen) this.#chosen.set(key, us);
  }

  *rows(type: WeightType, rowCounts: readonly number[]): Generator<object> {
    for (const rows of rowCounts) {
      const sum = (times: ReadonlyMap<string, number>): number =>
        this.#model.shapes.reduce((total, { name }) => {
          const us = times.get(`${type} ${name === "head" && rows > MAX_BATCH_ROWS ? 1 : rows} ${name}`) ?? Number.NaN;
          return total + us * (name === "head" ? 1 : this.#model.layers);
        }, 0);
      for (const [plans, times] of Object.entries({ best: this.#best, chosen: this.#chosen })) {
        const us = Math.round(sum(times));
        yield {
          kind: "linear-total",
          model: this.#model.name,
          type,
          rows,
          plans,
          us,
          rowsPerSec: Math.round((rows * 1e6) / us),
        };
      }
    }
  }
}

async function* measure(model: Model, numbers: readonly number[], views: boolean): AsyncGenerator<object> {
  const rowCounts = numbers.length > 0 ? numbers : views ? VIEW_ROW_COUNTS : model.rows;
  const totals = new Totals(model);
  for (const type of TYPES) {
    for (const shape of model.shapes) yield* measureShape(model.name, type, shape, rowCounts, views, totals);
    yield* totals.rows(type, rowCounts);
  }
}

export const measureLinear = (rows: readonly number[], views = false): AsyncGenerator<object> =>
  measure(SMALL_MODEL, rows, views);
export const measureLinearLarge = (rows: readonly number[]): AsyncGenerator<object> =>
  measure(LARGE_MODEL, rows, false);
