/**
 * @file The WebGPU backend: every operation queues a kernel; `readback` submits and waits.
 *
 * Buffers, pipelines and bind groups are made during the warm-up or on first use, and kept. So decoding a token allocates
 * nothing and takes one submit.
 */

import type { PageAddress } from "../../cache/page-storage.ts";
import { assert } from "../../errors.ts";
import { assertBegun } from "../begun-step.ts";
import type { Capabilities } from "../capabilities.ts";
import { checkTokens } from "../check-tokens.ts";
import {
  type ExpertHeadScratch,
  type ExpertHeads,
  type ExpertScratch,
  type Experts,
  hiddenOf,
  type Router,
} from "../experts.ts";
import { outputWidthOf } from "../head-product.ts";
import { loadParts } from "../load-parts.ts";
import type {
  Activation,
  AttentionLayer,
  BackendMemory,
  Buf,
  ChosenTokens,
  ColumnRun,
  Convolution,
  DeltaRule,
  Gates,
  HeadProduct,
  OnKernel,
  Ops,
  Rope,
  RowNorm,
  RowParts,
  Scan,
  ScanInputs,
  Step,
  StreamMix,
  TokenBlocks,
  TokenRuns,
  Weight,
  WeightPart,
  WeightType,
  WeightWriter,
} from "../ops.ts";
import { qkvWidth } from "../qkv-width.ts";
import { StackedWeight } from "../stacked-weight.ts";
import { AppendKernels } from "./append/append.ts";
import { CoarsenKernels } from "./append/coarsen.ts";
import { AttentionKernels } from "./attention/attention.ts";
import { CentroidTables } from "./attention/centroid-tables.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { TokenChoice } from "./chosen/token-choice.ts";
import type { GpuContext } from "./device/context.ts";
import { describeDevice, explainDevice } from "./device/describe-device.ts";
import { type OpenOptions, openDevice } from "./device/open-device.ts";
import { ElementwiseKernels } from "./elementwise/elementwise.ts";
import { ExpertKernels } from "./experts/experts.ts";
import { RouteKernels } from "./experts/route.ts";
import { MAX_BATCH_ROWS } from "./linear/batch-plan.ts";
import { asGpuWeight, WeightLoader } from "./linear/gpu-weight.ts";
import { LinearKernels } from "./linear/linear.ts";
import { warmUpRows } from "./linear/linear-plan.ts";
import { type PendingRows, PendingWork } from "./pending-work.ts";
import { CHUNK_TOKENS } from "./planner.ts";
import { KernelPlans } from "./plans/kernel-plans.ts";
import { BufferAllocator, GpuBuf, type GpuBuffer } from "./queue/buffers.ts";
import { Commands } from "./queue/commands.ts";
import { GpuOutsideBuffers } from "./queue/outside-buffers.ts";
import { GpuPageStorage } from "./queue/page-storage.ts";
import { StepBuffer } from "./queue/step-buffer.ts";
import { ROW_WORDS, STEP_VALUES } from "./queue/step-records.ts";
import { GpuSampling, GpuTokenStream, SAMPLE_WORDS } from "./sampling/gpu-sampler.ts";
import { DeltaKernels } from "./states/delta-kernels.ts";
import { StateKernels } from "./states/states.ts";

export interface WebGpuBackendOptions extends OpenOptions {
  /** Default: by rule. */
  readonly plans?: KernelPlans;
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
  readonly outside: GpuOutsideBuffers;
  readonly plans: KernelPlans;
  readonly notes: readonly string[];
  readonly #loader: WeightLoader;
  readonly #steps: StepBuffer;
  readonly #linear: LinearKernels;
  readonly #elementwise: ElementwiseKernels;
  readonly #pending: PendingWork;
  readonly #routes: RouteKernels;
  readonly #experts: ExpertKernels;
  readonly #append: AppendKernels;
  readonly #coarsen: CoarsenKernels;
  readonly #attention: AttentionKernels;
  readonly #choice: TokenChoice;
  readonly #states: StateKernels;
  readonly #delta: DeltaKernels;
  #step: Step | null = null;

  constructor(context: GpuContext, plans = new KernelPlans(), notes: readonly string[] = []) {
    this.context = context;
    this.notes = notes;
    this.plans = plans;
    this.capabilities = capabilitiesOf(context.limits.maxComputeWorkgroupStorageSize);
    this.chunkTokens = context.features.matrices ? CHUNK_TOKENS.matrices : CHUNK_TOKENS.plain;
    this.allocator = new BufferAllocator(context);
    this.commands = new Commands(context, this.allocator);
    this.pages = new GpuPageStorage(context, this.commands, this.allocator);
    this.#steps = new StepBuffer(this.commands, this.allocator);
    this.#loader = new WeightLoader(context, this.commands, this.allocator);
    this.sampling = new GpuSampling(this.commands, this.allocator);
    this.#linear = new LinearKernels(context, this.commands, this.allocator, plans);
    this.#elementwise = new ElementwiseKernels(this.commands);
    this.#pending = new PendingWork(this.#elementwise);
    this.outside = new GpuOutsideBuffers(
      this.commands,
      (buf, length, what) => this.#read(buf, length, what),
      (buf, length, what) => this.#written(buf, length, what),
    );
    this.#routes = new RouteKernels(this.commands);
    this.#experts = new ExpertKernels(context, this.commands, this.allocator, this.#elementwise);
    this.#append = new AppendKernels(this.commands, this.allocator, this.pages, this.#steps);
    this.#coarsen = new CoarsenKernels(this.commands, this.allocator, this.pages);
    const centroids = new CentroidTables(this.commands, this.allocator);
    this.#attention = new AttentionKernels(this.commands, this.allocator, this.pages, this.#steps, centroids, plans);
    this.#choice = new TokenChoice(this.commands, this.allocator, this.pages, this.#steps, centroids);
    this.#states = new StateKernels(this.commands, this.pages, this.#steps);
    this.#delta = new DeltaKernels(context, this.commands, this.allocator, this.pages, this.#steps);
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
    const { length: tuned } = this.plans.winners;
    return explainDevice(this.context, { tuned, kernels: kernelLabels, compilation, buffers: count, bytes: numBytes });
  }

  /** Kernels of matrix products are chosen by the number of rows. */
  isRowInvariant(): boolean {
    return false;
  }

  /** Whether spans of this layer go to matrix units. */
  attendsOnMatrices(layer: AttentionLayer): boolean {
    return this.#attention.isOnMatrices(layer);
  }

  async warmUp(mostRows: number, queue: (rows: number) => void, onKernel?: OnKernel): Promise<void> {
    this.context.check();
    await this.commands.warmUp(() => {
      for (const rows of warmUpRows(mostRows, this.context, this.plans.rowCounts(mostRows))) queue(rows);
    }, onKernel);
  }

  loadWeight(parts: readonly WeightPart[], as: WeightType): Weight {
    this.context.check();
    return loadParts(this, parts, as);
  }

  createWeight(rows: number, cols: number, as: WeightType, unit?: number): WeightWriter {
    this.context.check();
    return this.#loader.createWeight(rows, cols, as, unit);
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
    this.#pending.readFrom(buf);
    this.allocator.free(this.#written(buf, 0, "free"));
  }

  beginStep(step: Step, ropes: readonly Rope[]): void {
    this.context.check();
    this.#steps.begin(step);
    this.#append.beginStep(step, ropes);
    this.#step = step;
  }

  embed(step: Step, table: Weight, out: Buf, scale = 1): void {
    assertBegun(step, this.#step, "embed");
    if (!step.tokensFrom) checkTokens("embed", step.tokens, table.rows);
    const rows = step.tokens.length;
    const to = this.#written(out, rows * table.cols, "embed");
    if (step.tokensFrom) {
      assert(step.tokensFrom instanceof GpuTokenStream, "embed: expected a token stream of this backend");
      const { tokens } = step.tokensFrom;
      this.#linear.embed({ tokens, tokenAt: 0, tokenStride: SAMPLE_WORDS }, rows, asGpuWeight(table), to, scale);
      return;
    }
    const { buffer, layout } = this.#steps;
    const own = { tokens: buffer, tokenAt: layout.rowsAt, tokenStride: ROW_WORDS };
    this.#linear.embed(own, rows, asGpuWeight(table), to, scale);
  }

  addPositions(step: Step, table: Weight, out: Buf): void {
    assertBegun(step, this.#step, "addPositions");
    const rows = step.positions.length;
    this.#read(out, rows * table.cols, "addPositions");
    const to = this.#written(out, rows * table.cols, "addPositions");
    const { buffer, layout } = this.#steps;
    const own = { tokens: buffer, tokenAt: layout.rowsAt + STEP_VALUES.ROW_POSITION, tokenStride: ROW_WORDS };
    this.#linear.embed(own, rows, asGpuWeight(table), to, 1, true);
  }

  rmsNorm(x: Buf, weight: Weight, eps: number, rows: number, out: Buf): void {
    const { cols } = weight;
    const from = this.#read(x, rows * cols, "rmsNorm");
    const to = this.#written(out, rows * cols, "rmsNorm");
    const { buffer } = asGpuWeight(weight);
    const work = { kind: "norm", weight: buffer, eps } as const;
    if (rows <= MAX_BATCH_ROWS && from !== to) this.#pending.add(work, from, to, rows, cols);
    else this.#elementwise.rmsNorm(from, buffer, cols, eps, rows, to);
  }

  norm(x: Buf, of: RowNorm, rows: number, out: Buf): void {
    const { groups = 1 } = of;
    const cols = (of.weight.rows * of.weight.cols) / groups;
    const { first = 0, stride = cols } = of;
    const [outFirst, outStride] = of.isCompact ? [0, cols] : [first, stride];
    const length = rows * groups * outStride;
    const from = this.#read(x, rows * groups * stride, "norm");
    if (of.add || outStride !== cols) this.#read(out, length, "norm");
    const to = this.#written(out, length, "norm");
    const weights = {
      weight: asGpuWeight(of.weight).buffer,
      bias: of.bias && asGpuWeight(of.bias).buffer,
      factor: of.factor ? asGpuWeight(of.factor).buffer : null,
      like: of.like ? { ...of.like, rows: this.#read(of.like.rows, rows * groups * of.like.stride, "norm") } : null,
    };
    this.#elementwise.norm(from, { ...of, ...weights, cols, first, stride, outFirst, outStride, groups }, rows, to);
  }

  linear(x: Buf, w: Weight, bias: Weight | null, rows: number, out: Buf, add: boolean): void {
    assert(
      !bias || (bias.type === "f32" && bias.rows * bias.cols === w.rows),
      "linear: the bias is f32, one value a row of w",
    );
    assert(w.type !== "f32" || (w.rows > 1 && w.cols > 1), "linear: expected a matrix, got a vector");
    const taken = this.#taken(x, w, rows, out);
    const from = taken?.from ?? this.#read(x, rows * w.cols, "linear");
    const work = taken?.work ?? null;
    if (add) this.#read(out, rows * w.rows, "linear");
    const to = this.#written(out, rows * w.rows, "linear");
    const values = bias && asGpuWeight(bias);
    if (w instanceof StackedWeight) {
      for (const run of w.runs) this.#linear.runOf(w, run, from, values, rows, to, add, work);
    } else this.#linear.run(from, asGpuWeight(w), values, rows, to, add, work);
  }

  gatedLinear(x: Buf, gateUp: Weight, rows: number, out: Buf): boolean {
    if (!this.#linear.canGate(gateUp, rows)) return false;
    const taken = this.#taken(x, gateUp, rows, out);
    const from = taken?.from ?? this.#read(x, rows * gateUp.cols, "gatedLinear");
    const to = this.#written(out, (rows * gateUp.rows) / 2, "gatedLinear");
    this.#linear.runGated(from, asGpuWeight(gateUp), rows, to, taken?.work ?? null);
    return true;
  }

  appendKv(step: Step, layer: AttentionLayer, qkv: Buf, q: Buf): void {
    assertBegun(step, this.#step, "appendKv");
    const { numHeads, headDim, qNorm, kNorm, vNorm } = layer;
    const rows = step.tokens.length;
    const from = this.#read(qkv, rows * qkvWidth(layer), "appendKv");
    const norms = {
      q: qNorm && asGpuWeight(qNorm).buffer,
      k: kNorm && asGpuWeight(kNorm).buffer,
      v: vNorm ? asGpuWeight(vNorm).buffer : null,
    };
    this.#append.run(step, layer, norms, from, this.#written(q, rows * numHeads * headDim, "appendKv"));
    if (!layer.isShared) this.#coarsen.run(step, layer);
  }

  coarsen(layer: AttentionLayer, tier: number, from: PageAddress, to: PageAddress): void {
    this.#coarsen.coarsen(layer, tier, from, to);
  }

  appendLatent(step: Step, layer: AttentionLayer, latent: Buf, q: Buf): void {
    assertBegun(step, this.#step, "appendLatent");
    const rows = step.tokens.length;
    const width = layer.headDim + layer.rotaryKeyDim;
    const from = this.#read(latent, rows * width, "appendLatent");
    this.#read(q, rows * layer.numHeads * width, "appendLatent");
    this.#append.runLatent(step, layer, from, this.#written(q, rows * layer.numHeads * width, "appendLatent"));
  }

  multiplyHeads(x: Buf, w: Weight, product: HeadProduct, rows: number, out: Buf): void {
    const from = this.#read(x, rows * product.numHeads * product.inputWidth, "multiplyHeads");
    const to = this.#written(out, rows * product.numHeads * outputWidthOf(product, w.cols), "multiplyHeads");
    this.#linear.multiplyHeads(from, asGpuWeight(w), product, rows, to);
  }

  attend(step: Step, layer: AttentionLayer, q: Buf, out: Buf, chosen?: ChosenTokens, logSums?: Buf): void {
    assertBegun(step, this.#step, "attend");
    assert(!logSums, "attend: no kernel for sums of weights");
    const heads = step.tokens.length * layer.numHeads;
    const sinkLogits = layer.sinkLogits && asGpuWeight(layer.sinkLogits).buffer;
    const from = this.#read(q, heads * (layer.headDim + layer.rotaryKeyDim), "attend");
    const positions =
      chosen && this.#read(chosen.positions, step.tokens.length * chosen.lists * chosen.count, "attend");
    const own = chosen && positions ? { ...chosen, positions } : null;
    this.#attention.run(step, layer, sinkLogits, from, this.#written(out, heads * layer.valueDim, "attend"), own);
  }

  chooseTokens(
    step: Step,
    layer: AttentionLayer,
    q: Buf,
    by: Buf | TokenBlocks | TokenRuns,
    chosen: ChosenTokens,
  ): void {
    assertBegun(step, this.#step, "chooseTokens");
    assert(!("size" in by) || "local" in by, "chooseTokens: no kernel for runs of tokens");
    const rows = step.tokens.length;
    const heads = rows * layer.numHeads;
    const from = this.#read(q, heads * (layer.headDim + layer.rotaryKeyDim), "chooseTokens");
    const own = "local" in by ? by : this.#read(by, heads, "chooseTokens");
    const positions = this.#written(chosen.positions, rows * chosen.lists * chosen.count, "chooseTokens");
    this.#choice.run(step, layer, from, own, { ...chosen, positions });
  }

  /** No kernels yet for what follows: `capabilities` says so before weights are read. */
  compress(): void {
    assert(false, "compress: no kernel");
  }

  embedNgrams(): void {
    assert(false, "embedNgrams: no kernel");
  }

  matchStreams(): void {
    assert(false, "matchStreams: no kernel");
  }

  turnHeads(): void {
    assert(false, "turnHeads: no kernel");
  }

  streamFactors(): void {
    assert(false, "streamFactors: no kernel");
  }

  routeTokens(): void {
    assert(false, "routeTokens: no kernel");
  }

  swiglu(gateUp: Buf, rows: number, width: number, out: Buf): void {
    const from = this.#read(gateUp, rows * width * 2, "swiglu");
    const to = this.#written(out, rows * width, "swiglu");
    const work = { kind: "gate" } as const;
    if (rows <= MAX_BATCH_ROWS) this.#pending.add(work, from, to, rows, width);
    else this.#elementwise.swiglu(from, rows, width, to);
  }

  activate(x: Buf, activation: Activation, rows: number, width: number, out: Buf): void {
    const { isGated, alphas } = activation;
    const from = this.#read(x, rows * width * (isGated ? 2 : 1), "activate");
    const to = this.#written(out, rows * width, "activate");
    const own = { ...activation, alphas: alphas && asGpuWeight(alphas).buffer };
    this.#elementwise.activate(from, own, rows, width, to);
  }

  route(logits: Buf, router: Router, rows: number, routes: Buf): void {
    const from = this.#read(logits, rows * router.stride, "route");
    this.#routes.run(from, router, rows, this.#written(routes, rows * 2 * router.topK, "route"));
  }

  experts(x: Buf, routes: Buf, of: Experts, rows: number, scratch: ExpertScratch, out: Buf, add: boolean): void {
    assert(x !== out, "experts: the output is the input");
    const { numExperts, topK, width, gateUp, down } = of;
    const count = rows * topK;
    const outputs = down.rows / numExperts;
    const from = this.#read(x, rows * gateUp.cols, "experts");
    const chosen = this.#read(routes, rows * 2 * topK, "experts");
    if (add) this.#read(out, rows * outputs, "experts");
    const buffers = {
      hidden: this.#written(scratch.hidden, count * hiddenOf(of), "experts"),
      activated: this.#written(scratch.activated, count * width, "experts"),
      output: this.#written(scratch.output, count * outputs, "experts"),
    };
    this.#experts.run(from, chosen, of, rows, buffers, this.#written(out, rows * outputs, "experts"), add);
  }

  multiplyExperts(
    x: Buf,
    routes: Buf,
    heads: ExpertHeads,
    rows: number,
    scratch: ExpertHeadScratch,
    out: Buf,
    add: boolean,
  ): void {
    const { numExperts, topK, weight, columns, gathers } = heads;
    const outputs = weight.rows / numExperts;
    const from = this.#read(x, rows * (gathers ? columns.stride : weight.cols), "multiplyExperts");
    const chosen = this.#read(routes, rows * 2 * topK, "multiplyExperts");
    const length = rows * (gathers ? outputs : columns.stride);
    // Of rows that others write too, the values beside are kept.
    if (add || !gathers) this.#read(out, length, "multiplyExperts");
    const output = this.#written(scratch.output, rows * topK * outputs, "multiplyExperts");
    this.#experts.multiplyHeads(from, chosen, heads, rows, output, this.#written(out, length, "multiplyExperts"), add);
  }

  convolve(step: Step, of: Convolution, x: Buf, out: Buf): void {
    assertBegun(step, this.#step, "convolve");
    const rows = step.tokens.length;
    const from = this.#read(x, rows * of.input.stride, "convolve");
    const weights = { taps: asGpuWeight(of.weight).buffer, bias: of.bias && asGpuWeight(of.bias).buffer };
    this.#states.convolve(step, of, weights, from, this.#written(out, rows * of.channels, "convolve"));
  }

  deltaRule(step: Step, rule: DeltaRule, qkv: Buf, rates: Buf, decays: Buf, out: Buf): void {
    assertBegun(step, this.#step, "deltaRule");
    const rows = step.tokens.length;
    const { numHeads, numKeyHeads, keyDim, valueDim } = rule;
    const width = 2 * numKeyHeads * keyDim + numHeads * valueDim;
    const inputs = {
      qkv: this.#read(qkv, rows * width, "deltaRule"),
      rates: this.#read(rates, rows * rule.rate.stride, "deltaRule"),
      decays: this.#read(decays, rows * rule.decay.stride, "deltaRule"),
      decayLog: asGpuWeight(rule.decayLog).buffer,
      decayBias: asGpuWeight(rule.decayBias).buffer,
    };
    this.#delta.run(step, rule, inputs, this.#written(out, rows * numHeads * valueDim, "deltaRule"));
  }

  gate(x: Buf, gates: Buf, of: Gates, rows: number, width: number): void {
    const factors = this.#read(gates, rows * of.stride, "gate");
    this.#read(x, rows * width, "gate");
    this.#states.gate(this.#written(x, rows * width, "gate"), factors, of, rows, width);
  }

  scan(step: Step, of: Scan, inputs: ScanInputs, out: Buf): void {
    assertBegun(step, this.#step, "scan");
    const rows = step.tokens.length;
    const buffers = {
      x: this.#read(inputs.x, rows * of.x.stride, "scan"),
      vectors: this.#read(inputs.vectors, rows * of.vectors.stride, "scan"),
      steps: this.#read(inputs.steps, rows * of.steps.stride, "scan"),
      parameters: asGpuWeight(of.parameters).buffer,
      out: this.#written(out, rows * of.numHeads * of.headDim, "scan"),
    };
    this.#states.scan(step, of, buffers);
  }

  mixStreams(x: Buf, mix: StreamMix, coefficients: Buf | null, rows: number, width: number, out: Buf): void {
    const { from, to } = mix;
    const input = this.#read(x, rows * from.of * width, "mixStreams");
    const factors = coefficients && this.#read(coefficients, rows * mix.stride, "mixStreams");
    // Other streams of its rows stay.
    if (mix.add || to.count < to.of) this.#read(out, rows * to.of * width, "mixStreams");
    const output = this.#written(out, rows * to.of * width, "mixStreams");
    this.#elementwise.mixStreams(input, mix, factors, rows, width, output);
  }

  scaleColumns(x: Buf, runs: readonly ColumnRun[], rows: number, width: number): void {
    this.#read(x, rows * width, "scaleColumns");
    this.#elementwise.scaleColumns(this.#written(x, rows * width, "scaleColumns"), runs, rows, width);
  }

  resizeParts(x: Buf, from: RowParts, count: number, rows: number, out: Buf, to: RowParts): void {
    const input = this.#read(x, rows * from.stride, "resizeParts");
    // Other values of its rows stay.
    if (count * to.width < to.stride) this.#read(out, rows * to.stride, "resizeParts");
    const output = this.#written(out, rows * to.stride, "resizeParts");
    this.#elementwise.resizeParts(input, from, count, rows, output, to);
  }

  softcap(x: Buf, length: number, cap: number): void {
    this.#read(x, length, "softcap");
    this.#elementwise.softcap(this.#written(x, length, "softcap"), length, cap);
  }

  gatherRows(step: Step, x: Buf, width: number, out: Buf): void {
    assertBegun(step, this.#step, "gatherRows");
    const count = step.logitRows.length;
    const last = step.logitRows.reduce((most, row) => Math.max(most, row), 0);
    const from = this.#read(x, (last + 1) * width, "gatherRows");
    const to = this.#written(out, count * width, "gatherRows");
    this.#elementwise.gatherRows(from, this.#steps.buffer, this.#steps.layout.logitRowsAt, count, width, to);
  }

  async readback(buf: Buf, length: number, start = 0): Promise<Float32Array> {
    const from = this.#read(buf, start + length, "readback");
    return new Float32Array(await this.commands.read(from, start * 4, length * 4));
  }

  write(buf: Buf, values: Float32Array): void {
    this.commands.write(this.#written(buf, values.length, "write"), 0, values);
  }

  /** What is still to be done for x, if a product by `w` can do it. */
  #taken(x: Buf, w: Weight, rows: number, out: Buf): PendingRows | null {
    const pending = this.#pending.takeable(x, w.cols, rows, out);
    return pending && this.#linear.canTake(w, rows, pending.work) ? pending : null;
  }

  #read(buf: Buf, length: number, what: string): GpuBuffer {
    return this.#pending.read(buf, length, what);
  }

  #written(buf: Buf, length: number, what: string): GpuBuffer {
    return this.#pending.written(buf, length, what);
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
  return new WebGpuBackend(await openDevice(options), options.plans);
}
