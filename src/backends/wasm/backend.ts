/**
 * @file The WASM backend: AssemblyScript kernels with SIMD128, run by a pool of worker threads over shared memory. A model that
 * is larger than a memory lies in several; each has operations of its own.
 *
 * Calls compute immediately and return when they are done. Results depend
 * neither on the number of threads nor on the number of rows in a step.
 */

import type { PageAddress } from "../../cache/page-storage.ts";
import { assert, TurboQuantError } from "../../errors.ts";
import { getPlatform } from "../../platform.ts";
import type { LayerKvFormat } from "../../quant/kv-format.ts";
import { assertBegun } from "../begun-step.ts";
import { checkTokens } from "../check-tokens.ts";
import type { ExpertScratch, Experts, Router } from "../experts.ts";
import { outputWidthOf } from "../head-product.ts";
import { loadParts } from "../load-parts.ts";
import type {
  Activation,
  AttentionLayer,
  BackendMemory,
  Buf,
  ChosenTokens,
  ColumnRun,
  Compression,
  Convolution,
  DeltaRule,
  Gates,
  HeadProduct,
  HeadTurn,
  LentMemory,
  Ngrams,
  Ops,
  Rope,
  RowNorm,
  RowParts,
  Scan,
  ScanInputs,
  Step,
  StreamFactors,
  StreamMatch,
  StreamMix,
  TokenBlocks,
  TokenRuns,
  Weight,
  WeightPart,
  WeightType,
  WeightWriter,
} from "../ops.ts";
import { SCRATCH_BYTES } from "../parameters/attention.ts";
import { qkvWidth } from "../qkv-width.ts";
import { numRowsOf } from "../row-spans.ts";
import { StackedWeight } from "../stacked-weight.ts";
import { capabilities } from "./capabilities.ts";
import { chooseVariant } from "./choose-variant.ts";
import { wasmCodecs } from "./codecs/registry.ts";
import { ElementwiseKernels } from "./elementwise.ts";
import { detectEnvironment, planThreads } from "./environment.ts";
import { ExpertOperations } from "./expert-operations.ts";
import { HostRows } from "./host-rows.ts";
import { KvKernels } from "./kv-kernels.ts";
import { LinearKernels } from "./linear.ts";
import { MAX_BYTES, WasmMemory } from "./memory.ts";
import { WasmPageStorage } from "./page-storage.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import { CHUNK_TOKENS, MAX_MEMORIES } from "./sizes.ts";
import { StateKernels } from "./state-kernels.ts";
import { ThreadPool } from "./thread-pool.ts";
import { addressIn, WasmBuf, wasmBuf } from "./wasm-buf.ts";
import { asWasmWeight, vectorOf, WeightLoader } from "./wasm-weight.ts";

export interface WasmBackendOptions {
  /** Number of threads, the calling one included; default: as many as the machine has, at most 16. */
  readonly threads?: number;
  /** The most bytes of each WASM memory; default and maximum 4 GiB. */
  readonly memoryLimitBytes?: number;
  /** `auto`: relaxed SIMD when the engine has it and a self-test passes. */
  readonly relaxed?: "auto" | "off";
}

class WasmBackend implements Ops {
  readonly name = "wasm";
  readonly capabilities = capabilities;
  readonly pages: WasmPageStorage;
  readonly chunkTokens = CHUNK_TOKENS;
  readonly #description: string;
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;
  readonly #loader: WeightLoader;
  readonly #linear: LinearKernels;
  readonly #elementwise: ElementwiseKernels;
  readonly #experts: ExpertOperations;
  readonly #kv: KvKernels;
  readonly #states: StateKernels;
  readonly #rowOps: HostRows;
  readonly #tokens: ScratchBuffer;
  readonly #positions: ScratchBuffer;
  /** The operations over each memory of the device, in the order in which they were opened; one list for all of them. */
  readonly #all: WasmBackend[];
  #step: Step | null = null;

  constructor(memory: WasmMemory, pool: ThreadPool, description: string, all: WasmBackend[] = []) {
    all.push(this);
    this.#all = all;
    this.#memory = memory;
    this.#pool = pool;
    this.#description = description;
    this.pages = new WasmPageStorage(memory);
    this.#loader = new WeightLoader(memory, pool);
    this.#linear = new LinearKernels(memory, pool);
    this.#elementwise = new ElementwiseKernels(memory, pool);
    this.#experts = new ExpertOperations(memory, pool, this.#elementwise);
    this.#kv = new KvKernels(memory, pool);
    this.#states = new StateKernels(memory, pool);
    this.#rowOps = new HostRows(memory);
    this.#tokens = new ScratchBuffer(memory);
    this.#positions = new ScratchBuffer(memory);
  }

  get memory(): BackendMemory {
    const { limitBytes } = this.#memory;
    return { what: "the wasm backend", bytes: limitBytes, count: MAX_MEMORIES, bindingBytes: limitBytes };
  }

  get usedBytes(): number {
    return this.#all.reduce((sum, each) => sum + each.#memory.heap.usedBytes, 0);
  }

  describe(): string {
    return this.#description;
  }

  explain(): string[] {
    const { limitBytes } = this.#memory;
    const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    const count = this.#all.length;
    const most = count === 1 ? "at most" : `in ${count} memories of at most`;
    return [`memory: ${mebibytes(this.usedBytes)} in use, ${most} ${mebibytes(limitBytes)}`];
  }

  async addMemory(): Promise<Ops> {
    const { shared, limitBytes } = this.#memory;
    const memory = new WasmMemory(shared, limitBytes);
    if (memory.limitBytes < limitBytes) {
      throw new TurboQuantError(
        "out_of_memory",
        `wasm memory: the system reserves no ${limitBytes} bytes of addresses for memory ${this.#all.length + 1} of this model; ` +
          "close other programs, raise the limit of virtual memory (ulimit -v), or choose weights of fewer bytes",
        { requestedBytes: limitBytes, memories: this.#all.length },
      );
    }
    return new WasmBackend(memory, await this.#pool.addMemory(memory), this.#description, this.#all);
  }

  receive(from: Buf, length: number, to: Buf): void {
    const { memory, address } = wasmBuf(from, length, "receive");
    const start = address / 4;
    this.#memory.f32.set(memory.f32.subarray(start, start + length), this.#addressOf(to, length, "receive") / 4);
  }

  loadWeight(parts: readonly WeightPart[], as: WeightType): Weight {
    return loadParts(this, parts, as);
  }

  createWeight(rows: number, cols: number, as: WeightType, unit?: number): WeightWriter {
    return this.#loader.createWeight(rows, cols, as, unit);
  }

  lendMemory(numBytes: number): LentMemory | null {
    return this.#loader.lendMemory(numBytes);
  }

  freeWeight(weight: Weight): void {
    const { address, numBytes } = asWasmWeight(weight);
    this.#memory.heap.free(address, numBytes);
  }

  alloc(length: number): Buf {
    return new WasmBuf(this.#memory, this.#memory.allocateZeroed(length * 4, "activations"), length);
  }

  free(buf: Buf): void {
    this.#memory.heap.free(this.#addressOf(buf, 0, "free"), buf.length * 4);
  }

  /**
   * Attention over codes adds up in the same order for any number of rows.
   * Over floats and blocks, single rows are added up in another order.
   */
  isRowInvariant({ k, v }: LayerKvFormat): boolean {
    return [k, v].every((side) => wasmCodecs.of(side).isRowInvariant);
  }

  beginStep(step: Step, ropes: readonly Rope[]): void {
    const tokens = this.#tokens.ensure(step.tokens.length * 4);
    this.#memory.i32.set(step.tokens, tokens / 4);
    this.#kv.beginStep(step, ropes);
    this.#step = step;
  }

  embed(step: Step, table: Weight, out: Buf, scale = 1): void {
    assertBegun(step, this.#step, "embed");
    checkTokens("embed", step.tokens, table.rows);
    this.#elementwise.embed(this.#tokens.ensure(step.tokens.length * 4), step.tokens.length, table, out, scale, false);
  }

  embedNgrams(step: Step, ngrams: Ngrams, table: Weight, out: Buf): void {
    assertBegun(step, this.#step, "embedNgrams");
    this.#elementwise.embed(
      this.#rowOps.ngramRows(step, ngrams),
      step.tokens.length * ngrams.heads.length,
      table,
      out,
      1,
      false,
    );
  }

  addPositions(step: Step, table: Weight, out: Buf): void {
    assertBegun(step, this.#step, "addPositions");
    const count = step.positions.length;
    assert(table.cols * 4 <= SCRATCH_BYTES, "addPositions: rows of the table do not fit the scratch of a thread");
    const positions = this.#positions.ensure(count * 4);
    this.#memory.i32.set(step.positions, positions / 4);
    this.#elementwise.embed(positions, count, table, out, 1, true);
  }

  rmsNorm(x: Buf, weight: Weight, eps: number, rows: number, out: Buf): void {
    this.#elementwise.rmsNorm(x, weight, eps, rows, out);
  }

  norm(x: Buf, of: RowNorm, rows: number, out: Buf): void {
    this.#elementwise.norm(x, of, rows, out);
  }

  linear(x: Buf, w: Weight, bias: Weight | null, rows: number, out: Buf, add: boolean): void {
    let biasAddress = 0;
    if (bias) {
      const vector = asWasmWeight(bias);
      assert(
        vector.type === "f32" && vector.rows * vector.cols === w.rows,
        "linear: the bias is f32, one value a row of w",
      );
      biasAddress = vector.address;
    }
    const from = this.#addressOf(x, rows * w.cols, "linear");
    const to = this.#addressOf(out, rows * w.rows, "linear");
    if (!(w instanceof StackedWeight)) {
      this.#linear.run(from, asWasmWeight(w), biasAddress, rows, to, add);
      return;
    }
    for (const { weight, first } of w.runs) {
      const own = biasAddress === 0 ? 0 : biasAddress + first * 4;
      this.#linear.run(from, asWasmWeight(weight), own, rows, to + first * 4, add, w.rows);
    }
  }

  appendKv(step: Step, layer: AttentionLayer, qkv: Buf, q: Buf): void {
    assertBegun(step, this.#step, "appendKv");
    const rows = step.tokens.length;
    const width = layer.numHeads * layer.headDim;
    const from = this.#addressOf(qkv, rows * qkvWidth(layer), "appendKv");
    const norms = {
      q: layer.qNorm ? asWasmWeight(layer.qNorm).address : 0,
      k: layer.kNorm ? asWasmWeight(layer.kNorm).address : 0,
      v: layer.vNorm ? asWasmWeight(layer.vNorm).address : 0,
    };
    this.#kv.append(step, layer, from, this.#addressOf(q, rows * width, "appendKv"), norms);
  }

  coarsen(layer: AttentionLayer, tier: number, from: PageAddress, to: PageAddress): void {
    this.#kv.coarsen(layer, tier, [{ from, to }]);
  }

  appendLatent(step: Step, layer: AttentionLayer, latent: Buf, q: Buf): void {
    assertBegun(step, this.#step, "appendLatent");
    const rows = step.tokens.length;
    const width = layer.headDim + layer.rotaryKeyDim;
    const from = this.#addressOf(latent, rows * width, "appendLatent");
    this.#kv.appendLatent(step, layer, from, this.#addressOf(q, rows * layer.numHeads * width, "appendLatent"));
  }

  turnHeads(step: Step, x: Buf, turn: HeadTurn): void {
    assertBegun(step, this.#step, "turnHeads");
    const rows = numRowsOf(step, turn.tokensPerRow ?? 1);
    this.#kv.turnHeads(step, this.#addressOf(x, rows * turn.numHeads * turn.headDim, "turnHeads"), turn, rows);
  }

  multiplyHeads(x: Buf, w: Weight, product: HeadProduct, rows: number, out: Buf): void {
    this.#linear.multiplyHeads(
      this.#addressOf(x, rows * product.numHeads * product.inputWidth, "multiplyHeads"),
      asWasmWeight(w),
      product,
      rows,
      this.#addressOf(out, rows * product.numHeads * outputWidthOf(product, w.cols), "multiplyHeads"),
    );
  }

  attend(step: Step, layer: AttentionLayer, q: Buf, out: Buf, chosen?: ChosenTokens, logSums?: Buf): void {
    assertBegun(step, this.#step, "attend");
    const heads = step.tokens.length * layer.numHeads;
    const from = this.#addressOf(q, heads * (layer.headDim + layer.rotaryKeyDim), "attend");
    const own = chosen ? this.#chosenAt(step, chosen) : null;
    const sums = logSums ? this.#addressOf(logSums, heads, "attend") : 0;
    this.#kv.attend(step, layer, from, this.#addressOf(out, heads * layer.valueDim, "attend"), own, sums);
  }

  chooseTokens(
    step: Step,
    layer: AttentionLayer,
    q: Buf,
    by: Buf | TokenBlocks | TokenRuns,
    chosen: ChosenTokens,
  ): void {
    assertBegun(step, this.#step, "chooseTokens");
    const heads = step.tokens.length * layer.numHeads;
    const from = this.#addressOf(q, heads * (layer.headDim + layer.rotaryKeyDim), "chooseTokens");
    const own = "size" in by ? by : this.#addressOf(by, heads, "chooseTokens");
    this.#kv.chooseTokens(step, layer, from, own, this.#chosenAt(step, chosen));
  }

  #chosenAt(step: Step, { positions, count, lists }: ChosenTokens) {
    const length = step.tokens.length * count * lists;
    return { positions: this.#addressOf(positions, length, "chosen tokens"), count, lists };
  }

  swiglu(gateUp: Buf, rows: number, width: number, out: Buf): void {
    this.#elementwise.swiglu(gateUp, rows, width, out);
  }

  activate(x: Buf, activation: Activation, rows: number, width: number, out: Buf): void {
    this.#elementwise.activate(x, activation, rows, width, out);
  }

  route(logits: Buf, router: Router, rows: number, routes: Buf): void {
    this.#experts.route(logits, router, rows, routes);
  }

  routeTokens(step: Step, logits: Buf, router: Router, experts: Weight, routes: Buf): void {
    assertBegun(step, this.#step, "routeTokens");
    this.#experts.routeTokens(step.tokens, logits, router, experts, routes);
  }

  experts(x: Buf, routes: Buf, of: Experts, rows: number, scratch: ExpertScratch, out: Buf, add: boolean): void {
    this.#experts.experts(x, routes, of, rows, scratch, out, add);
  }

  multiplyExperts(...operands: Parameters<Ops["multiplyExperts"]>): void {
    this.#experts.multiplyExperts(...operands);
  }

  convolve(step: Step, of: Convolution, x: Buf, out: Buf): void {
    assertBegun(step, this.#step, "convolve");
    const rows = step.tokens.length;
    const from = this.#addressOf(x, rows * of.input.stride, "convolve");
    const to = this.#addressOf(out, rows * of.channels, "convolve");
    const bias = of.bias ? vectorOf(of.bias, "convolve").address : 0;
    this.#states.convolve(step, of, from, to, vectorOf(of.weight, "convolve").address, bias);
  }

  compress(step: Step, of: Compression, x: Buf, out: Buf): void {
    assertBegun(step, this.#step, "compress");
    const from = this.#addressOf(x, step.tokens.length * of.stride, "compress");
    const to = this.#addressOf(out, numRowsOf(step, of.tokensPerRow) * of.width, "compress");
    this.#rowOps.compress(step, of, from, of.gateBias ? vectorOf(of.gateBias, "compress").address : 0, to);
  }

  deltaRule(step: Step, rule: DeltaRule, qkv: Buf, rates: Buf, decays: Buf, out: Buf): void {
    assertBegun(step, this.#step, "deltaRule");
    const rows = step.tokens.length;
    const { numHeads, numKeyHeads, keyDim, valueDim } = rule;
    const width = 2 * numKeyHeads * keyDim + numHeads * valueDim;
    this.#states.deltaRule(step, rule, {
      qkv: this.#addressOf(qkv, rows * width, "deltaRule"),
      rates: this.#addressOf(rates, rows * rule.rate.stride, "deltaRule"),
      decays: this.#addressOf(decays, rows * rule.decay.stride, "deltaRule"),
      decayLog: vectorOf(rule.decayLog, "deltaRule").address,
      decayBias: vectorOf(rule.decayBias, "deltaRule").address,
      out: this.#addressOf(out, rows * numHeads * valueDim, "deltaRule"),
    });
  }

  gate(x: Buf, gates: Buf, of: Gates, rows: number, width: number): void {
    const factors = this.#addressOf(gates, rows * of.stride, "gate");
    this.#states.gate(this.#addressOf(x, rows * width, "gate"), factors, of, rows, width);
  }

  scan(step: Step, of: Scan, inputs: ScanInputs, out: Buf): void {
    assertBegun(step, this.#step, "scan");
    const rows = step.tokens.length;
    const addresses = {
      x: this.#addressOf(inputs.x, rows * of.x.stride, "scan"),
      vectors: this.#addressOf(inputs.vectors, rows * of.vectors.stride, "scan"),
      steps: this.#addressOf(inputs.steps, rows * of.steps.stride, "scan"),
      out: this.#addressOf(out, rows * of.numHeads * of.headDim, "scan"),
    };
    this.#states.scan(step, of, addresses, vectorOf(of.parameters, "scan").address);
  }

  mixStreams(x: Buf, mix: StreamMix, coefficients: Buf | null, rows: number, width: number, out: Buf): void {
    this.#elementwise.mixStreams(x, mix, coefficients, rows, width, out);
  }

  matchStreams(x: Buf, y: Buf, match: StreamMatch, rows: number, width: number, out: Buf): void {
    const length = rows * match.streams * width;
    const [from, other] = [this.#addressOf(x, length, "matchStreams"), this.#addressOf(y, length, "matchStreams")];
    this.#rowOps.matchStreams(
      from,
      other,
      match,
      rows,
      width,
      this.#addressOf(out, rows * match.streams, "matchStreams"),
    );
  }

  streamFactors(factors: Buf, of: StreamFactors, rows: number): void {
    const [scale, bias] = [vectorOf(of.scale, "streamFactors"), vectorOf(of.bias, "streamFactors")];
    const length = bias.rows * bias.cols;
    const from = this.#addressOf(factors, rows * length, "streamFactors");
    this.#rowOps.streamFactors(from, of, scale.address, bias.address, length, rows);
  }

  scaleColumns(x: Buf, runs: readonly ColumnRun[], rows: number, width: number): void {
    this.#elementwise.scaleColumns(x, runs, rows, width);
  }

  resizeParts(x: Buf, from: RowParts, count: number, rows: number, out: Buf, to: RowParts): void {
    this.#elementwise.resizeParts(x, from, count, rows, out, to);
  }

  softcap(x: Buf, length: number, cap: number): void {
    this.#elementwise.softcap(x, length, cap);
  }

  gatherRows(step: Step, x: Buf, width: number, out: Buf): void {
    assertBegun(step, this.#step, "gatherRows");
    const to = this.#addressOf(out, step.logitRows.length * width, "gatherRows") / 4;
    const { f32 } = this.#memory;
    step.logitRows.forEach((row, i) => {
      const from = this.#addressOf(x, (row + 1) * width, "gatherRows") / 4 + row * width;
      f32.copyWithin(to + i * width, from, from + width);
    });
  }

  async readback(buf: Buf, length: number, start = 0): Promise<Float32Array> {
    const { memory, address } = wasmBuf(buf, start + length, "readback");
    const from = address / 4 + start;
    const values = new Float32Array(length);
    values.set(memory.f32.subarray(from, from + length));
    return values;
  }

  write(buf: Buf, values: Float32Array): void {
    const { memory, address } = wasmBuf(buf, values.length, "write");
    memory.f32.set(values, address / 4);
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#all.map((each) => each.#pool.dispose()));
    for (const each of this.#all) each.#memory.release();
  }

  #addressOf(buf: Buf, length: number, what: string): number {
    return addressIn(this.#memory, buf, length, what);
  }
}

/**
 * Starts the backend and its threads.
 * @throws TurboQuantError invalid_argument — options; unsupported — no SIMD, or threads that cannot work here
 */
export async function createWasmBackend(options: WasmBackendOptions = {}): Promise<Ops> {
  const { threads, note } = planThreads(options.threads, detectEnvironment(getPlatform().concurrency));
  const shared = threads > 1;
  const { variant, module } = await chooseVariant(options.relaxed ?? "auto", shared);
  const memory = new WasmMemory(shared, options.memoryLimitBytes ?? MAX_BYTES);
  const pool = await ThreadPool.create(memory, module, threads);
  const features = variant === "relaxed" ? "simd128 relaxed" : "simd128";
  const count = `${threads} thread${threads === 1 ? "" : "s"}`;
  return new WasmBackend(memory, pool, `wasm ${features}, ${count}${note ? ` (${note})` : ""}`);
}
