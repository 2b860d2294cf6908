/**
 * @file The WebGPU backend: every operation queues a kernel; `readback` submits and waits.
 *
 * Buffers, pipelines and bind groups are made during the warm-up or on first use, and kept. So decoding a token allocates
 * nothing and takes one submit.
 */
import { assert } from "../../errors.ts";
import { assertBegun } from "../begun-step.ts";
import type { Capabilities } from "../capabilities.ts";
import { checkTokens } from "../check-tokens.ts";
import { loadParts } from "../load-parts.ts";
import type {
  AttentionLayer,
  BackendMemory,
  Buf,
  OnKernel,
  Ops,
  Rope,
  Step,
  Weight,
  WeightPart,
  WeightType,
  WeightWriter,
} from "../ops.ts";
import { StackedWeight } from "../stacked-weight.ts";
import { AppendKernels } from "./append/append.ts";
import { AttentionKernels } from "./attention/attention.ts";
import type { DecodeTuning } from "./attention/decode-attention.ts";
import { capabilitiesOf } from "./capabilities.ts";
import type { GpuContext } from "./device/context.ts";
import { describeDevice, explainDevice } from "./device/describe-device.ts";
import { type OpenOptions, openDevice } from "./device/open-device.ts";
import { ElementwiseKernels } from "./elementwise/elementwise.ts";
import { asGpuWeight, WeightLoader } from "./linear/gpu-weight.ts";
import { LinearKernels } from "./linear/linear.ts";
import { warmUpRows } from "./linear/linear-plan.ts";
import { CHUNK_TOKENS } from "./planner.ts";
import { BufferAllocator, bufferOf, GpuBuf } from "./queue/buffers.ts";
import { Commands } from "./queue/commands.ts";
import { GpuPageStorage } from "./queue/page-storage.ts";
import { ROW_WORDS, StepBuffer } from "./queue/step-buffer.ts";
import { GpuSampling, GpuTokenStream, SAMPLE_WORDS } from "./sampling/gpu-sampler.ts";

export interface WebGpuBackendOptions extends OpenOptions {
  /** Settings for benchmarks. */
  readonly tuning?: DecodeTuning;
}

export class WebGpuBackend implements Ops {
  readonly name = "webgpu";
  readonly capabilities: Capabilities;
  readonly pages: GpuPageStorage;
  readonly chunkTokens: number;
  readonly context: GpuContext;
  readonly allocator: BufferAllocator;
  readonly commands: Commands;
  readonly sampling: GpuSampling;
  readonly #loader: WeightLoader;
  readonly #steps: StepBuffer;
  readonly #linear: LinearKernels;
  readonly #elementwise: ElementwiseKernels;
  readonly #append: AppendKernels;
  readonly #attention: AttentionKernels;
  #step: Step | null = null;

  constructor(context: GpuContext, tuning?: DecodeTuning) {
    this.context = context;
    this.capabilities = capabilitiesOf(context.limits.maxComputeWorkgroupStorageSize);
    this.chunkTokens = context.features.matrices ? CHUNK_TOKENS.matrices : CHUNK_TOKENS.plain;
    this.allocator = new BufferAllocator(context);
    this.commands = new Commands(context, this.allocator);
    this.pages = new GpuPageStorage(context, this.commands, this.allocator);
    this.#steps = new StepBuffer(this.commands, this.allocator);
    this.#loader = new WeightLoader(context, this.commands, this.allocator);
    this.sampling = new GpuSampling(this.commands, this.allocator);
    this.#linear = new LinearKernels(context, this.commands, this.allocator);
    this.#elementwise = new ElementwiseKernels(this.commands);
    this.#append = new AppendKernels(this.commands, this.allocator, this.pages, this.#steps);
    this.#attention = new AttentionKernels(this.commands, this.allocator, this.pages, this.#steps, tuning);
  }

  get memory(): BackendMemory {
    // WebGPU does not tell how much memory there is.
    return { what: this.context.adapterName, bytes: Number.POSITIVE_INFINITY, bindingBytes: this.context.bindingBytes };
  }

  describe(): string {
    return describeDevice(this.context);
  }

  get usedBytes(): number {
    return this.allocator.numBytes;
  }

  explain(): string[] {
    const { count, numBytes } = this.allocator;
    const { compilation, kernelLabels } = this.commands;
    return explainDevice(this.context, { kernels: kernelLabels, compilation, buffers: count, bytes: numBytes });
  }

  /** Kernels of matrix products are chosen by the number of rows. */
  isRowInvariant(): boolean {
    return false;
  }

  async warmUp(mostRows: number, queue: (rows: number) => void, onKernel?: OnKernel): Promise<void> {
    this.context.check();
    await this.commands.warmUp(() => {
      for (const rows of warmUpRows(mostRows)) queue(rows);
    }, onKernel);
  }

  loadWeight(parts: readonly WeightPart[], as: WeightType): Weight {
    this.context.check();
    return loadParts(this, parts, as);
  }

  createWeight(rows: number, cols: number, as: WeightType): WeightWriter {
    this.context.check();
    return this.#loader.createWeight(rows, cols, as);
  }

  freeWeight(weight: Weight): void {
    for (const { words, scales } of asGpuWeight(weight).chunks) {
      this.allocator.free(words);
      this.allocator.free(scales);
    }
  }

  alloc(length: number): Buf {
    this.context.check();
    return new GpuBuf(this.allocator.allocate(length * 4, "activations"), length);
  }

  free(buf: Buf): void {
    this.allocator.free(bufferOf(buf, 0, "free"));
  }

  beginStep(step: Step, ropes: readonly Rope[]): void {
    this.context.check();
    this.#steps.begin(step);
    this.#append.beginStep(step, ropes);
    this.#step = step;
  }

  embed(step: Step, table: Weight, out: Buf): void {
    assertBegun(step, this.#step, "embed");
    if (!step.tokensFrom) checkTokens("embed", step.tokens, table.rows);
    const rows = step.tokens.length;
    const to = bufferOf(out, rows * table.cols, "embed");
    if (step.tokensFrom) {
      assert(step.tokensFrom instanceof GpuTokenStream, "embed: expected a token stream of this backend");
      this.#linear.embed(step.tokensFrom.tokens, 0, SAMPLE_WORDS, rows, asGpuWeight(table), to);
      return;
    }
    this.#linear.embed(this.#steps.buffer, this.#steps.layout.rowsAt, ROW_WORDS, rows, asGpuWeight(table), to);
  }

  rmsNorm(x: Buf, weight: Weight, eps: number, rows: number, out: Buf): void {
    const { cols } = weight;
    const from = bufferOf(x, rows * cols, "rmsNorm");
    const to = bufferOf(out, rows * cols, "rmsNorm");
    this.#elementwise.rmsNorm(from, asGpuWeight(weight).buffer, cols, eps, rows, to);
  }

  linear(x: Buf, w: Weight, bias: Weight | null, rows: number, out: Buf, add: boolean): void {
    assert(
      !bias || (bias.type === "f32" && bias.rows * bias.cols === w.rows),
      "linear: the bias is f32, one value a row of w",
    );
    const from = bufferOf(x, rows * w.cols, "linear");
    const to = bufferOf(out, rows * w.rows, "linear");
    const values = bias && asGpuWeight(bias);
    if (!(w instanceof StackedWeight)) this.#linear.run(from, asGpuWeight(w), values, rows, to, add);
    else for (const run of w.runs) this.#linear.runOf(w, run, from, values, rows, to, add);
  }

  appendKv(step: Step, layer: AttentionLayer, qkv: Buf, q: Buf): void {
    assertBegun(step, this.#step, "appendKv");
    const { numHeads, numKvHeads, headDim, qNorm, kNorm } = layer;
    const rows = step.tokens.length;
    const from = bufferOf(qkv, rows * (numHeads + 2 * numKvHeads) * headDim, "appendKv");
    const norms = { q: qNorm && asGpuWeight(qNorm).buffer, k: kNorm && asGpuWeight(kNorm).buffer };
    this.#append.run(step, layer, norms, from, bufferOf(q, rows * numHeads * headDim, "appendKv"));
  }

  attend(step: Step, layer: AttentionLayer, q: Buf, out: Buf): void {
    assertBegun(step, this.#step, "attend");
    const length = step.tokens.length * layer.numHeads * layer.headDim;
    this.#attention.run(step, layer, bufferOf(q, length, "attend"), bufferOf(out, length, "attend"));
  }

  swiglu(gateUp: Buf, rows: number, width: number, out: Buf): void {
    const from = bufferOf(gateUp, rows * width * 2, "swiglu");
    this.#elementwise.swiglu(from, rows, width, bufferOf(out, rows * width, "swiglu"));
  }

  gatherRows(step: Step, x: Buf, width: number, out: Buf): void {
    assertBegun(step, this.#step, "gatherRows");
    const count = step.logitRows.length;
    const to = bufferOf(out, count * width, "gatherRows");
    const last = step.logitRows.reduce((most, row) => Math.max(most, row), 0);
    const from = bufferOf(x, (last + 1) * width, "gatherRows");
    this.#elementwise.gatherRows(from, this.#steps.buffer, this.#steps.layout.logitRowsAt, count, width, to);
  }

  async readback(buf: Buf, length: number, start = 0): Promise<Float32Array> {
    const from = bufferOf(buf, start + length, "readback");
    return new Float32Array(await this.commands.read(from, start * 4, length * 4));
  }

  async dispose(): Promise<void> {
    this.sampling.dispose();
    this.commands.dispose();
    this.allocator.dispose();
    this.context.dispose();
  }
}

/** @throws TurboQuantError unsupported — no WebGPU, no adapter, or one that is too small */
export async function createWebGpuBackend(options: WebGpuBackendOptions = {}): Promise<WebGpuBackend> {
  return new WebGpuBackend(await openDevice(options), options.tuning);
}
