/**
 * @file The WASM backend: AssemblyScript kernels with SIMD128, run by a pool of worker threads over one shared memory.
 *
 * Calls compute immediately and return when they are done. Results depend
 * neither on the number of threads nor on the number of rows in a step.
 */

import { assert } from "../../errors.ts";
import { getPlatform } from "../../platform.ts";
import type { LayerKvFormat } from "../../quant/kv-format.ts";
import { assertBegun } from "../begun-step.ts";
import { checkTokens } from "../check-tokens.ts";
import type { AttentionLayer, BackendMemory, Buf, Ops, Rope, Step, Weight, WeightPart, WeightType } from "../ops.ts";
import { embed, rmsNorm, swiglu } from "../parameters/activations.ts";
import { capabilities } from "./capabilities.ts";
import { chooseVariant } from "./choose-variant.ts";
import { wasmCodecs } from "./codecs/registry.ts";
import { detectEnvironment, planThreads } from "./environment.ts";
import { KvKernels } from "./kv-kernels.ts";
import { LinearKernels } from "./linear.ts";
import { MAX_BYTES, PARAMS_ADDRESS, WasmMemory } from "./memory.ts";
import { WasmPageStorage } from "./page-storage.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import { CHUNK_TOKENS } from "./sizes.ts";
import { ThreadPool } from "./thread-pool.ts";
import { asWasmWeight, WeightLoader } from "./wasm-weight.ts";

export interface WasmBackendOptions {
  /** Number of threads, the calling one included; default: as many as the machine has, at most 16. */
  readonly threads?: number;
  /** The most bytes of WASM memory; default and maximum 4 GiB. */
  readonly memoryLimitBytes?: number;
  /** `auto`: relaxed SIMD when the engine has it and a self-test passes. */
  readonly relaxed?: "auto" | "off";
}

/** Number of elements whose elementwise operation takes about as long as waking another thread. */
const PARALLEL_ELEMENTS = 1 << 14;

class WasmBuf implements Buf {
  readonly address: number;
  readonly length: number;
  constructor(address: number, length: number) {
    this.address = address;
    this.length = length;
  }
}

/** Address of a buffer with room for `length` values. */
function addressOf(buf: Buf, length: number, what: string): number {
  assert(buf instanceof WasmBuf && buf.length >= length, `${what}: ${length} values do not fit the buffer`);
  return buf.address;
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
  readonly #kv: KvKernels;
  readonly #tokens: ScratchBuffer;
  #step: Step | null = null;

  constructor(memory: WasmMemory, pool: ThreadPool, description: string) {
    this.#memory = memory;
    this.#pool = pool;
    this.#description = description;
    this.pages = new WasmPageStorage(memory);
    this.#loader = new WeightLoader(memory, pool);
    this.#linear = new LinearKernels(memory, pool);
    this.#kv = new KvKernels(memory, pool);
    this.#tokens = new ScratchBuffer(memory);
  }

  get memory(): BackendMemory {
    const { limitBytes } = this.#memory;
    return { what: "the wasm backend", bytes: limitBytes, bindingBytes: limitBytes };
  }

  get usedBytes(): number {
    return this.#memory.heap.usedBytes;
  }

  describe(): string {
    return this.#description;
  }

  explain(): string[] {
    const { limitBytes } = this.#memory;
    const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    return [`memory: ${mebibytes(this.usedBytes)} in use, at most ${mebibytes(limitBytes)}`];
  }

  loadWeight(parts: readonly WeightPart[], as: WeightType): Weight {
    return this.#loader.load(parts, as);
  }

  alloc(length: number): Buf {
    return new WasmBuf(this.#memory.allocateZeroed(length * 4, "activations"), length);
  }

  free(buf: Buf): void {
    this.#memory.heap.free(addressOf(buf, 0, "free"), buf.length * 4);
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

  embed(step: Step, table: Weight, out: Buf): void {
    assertBegun(step, this.#step, "embed");
    const { address, cols, rows, stride, code } = asWasmWeight(table);
    const count = step.tokens.length;
    checkTokens("embed", step.tokens, rows);
    embed.write(this.#memory.view, PARAMS_ADDRESS, {
      table: address,
      type: code,
      tokens: this.#tokens.ensure(count * 4),
      out: addressOf(out, count * cols, "embed"),
      cols,
      stride,
    });
    this.#run("embed", count, count * cols);
  }

  rmsNorm(x: Buf, weight: Weight, eps: number, rows: number, out: Buf): void {
    const { address, cols, type } = asWasmWeight(weight);
    assert(type === "f32", "rmsNorm: weights are f32");
    const block = this.#rowsOfTask(rows);
    const from = addressOf(x, rows * cols, "rmsNorm");
    const to = addressOf(out, rows * cols, "rmsNorm");
    rmsNorm.write(this.#memory.view, PARAMS_ADDRESS, { x: from, weight: address, out: to, cols, rows, block, eps });
    this.#run("rmsNorm", Math.ceil(rows / block), rows * cols);
  }

  linear(x: Buf, w: Weight, bias: Weight | null, rows: number, out: Buf, add: boolean): void {
    const weight = asWasmWeight(w);
    let biasAddress = 0;
    if (bias) {
      const vector = asWasmWeight(bias);
      assert(
        vector.type === "f32" && vector.rows * vector.cols === w.rows,
        "linear: the bias is f32, one value a row of w",
      );
      biasAddress = vector.address;
    }
    const from = addressOf(x, rows * w.cols, "linear");
    this.#linear.run(from, weight, biasAddress, rows, addressOf(out, rows * w.rows, "linear"), add);
  }

  appendKv(step: Step, layer: AttentionLayer, qkv: Buf, q: Buf): void {
    assertBegun(step, this.#step, "appendKv");
    const rows = step.tokens.length;
    const width = layer.numHeads * layer.headDim;
    const from = addressOf(qkv, rows * (width + 2 * layer.numKvHeads * layer.headDim), "appendKv");
    const norms = {
      q: layer.qNorm ? asWasmWeight(layer.qNorm).address : 0,
      k: layer.kNorm ? asWasmWeight(layer.kNorm).address : 0,
    };
    this.#kv.append(step, layer, from, addressOf(q, rows * width, "appendKv"), norms);
  }

  attend(step: Step, layer: AttentionLayer, q: Buf, out: Buf): void {
    assertBegun(step, this.#step, "attend");
    const length = step.tokens.length * layer.numHeads * layer.headDim;
    this.#kv.attend(step, layer, addressOf(q, length, "attend"), addressOf(out, length, "attend"));
  }

  swiglu(gateUp: Buf, rows: number, width: number, out: Buf): void {
    const block = this.#rowsOfTask(rows);
    const from = addressOf(gateUp, rows * width * 2, "swiglu");
    const to = addressOf(out, rows * width, "swiglu");
    swiglu.write(this.#memory.view, PARAMS_ADDRESS, { gateUp: from, out: to, width, rows, block });
    this.#run("swiglu", Math.ceil(rows / block), rows * width);
  }

  gatherRows(step: Step, x: Buf, width: number, out: Buf): void {
    assertBegun(step, this.#step, "gatherRows");
    const to = addressOf(out, step.logitRows.length * width, "gatherRows") / 4;
    const { f32 } = this.#memory;
    step.logitRows.forEach((row, i) => {
      const from = addressOf(x, (row + 1) * width, "gatherRows") / 4 + row * width;
      f32.copyWithin(to + i * width, from, from + width);
    });
  }

  async readback(buf: Buf, length: number, start = 0): Promise<Float32Array> {
    const from = addressOf(buf, start + length, "readback") / 4 + start;
    const values = new Float32Array(length);
    values.set(this.#memory.f32.subarray(from, from + length));
    return values;
  }

  async dispose(): Promise<void> {
    await this.#pool.dispose();
    this.#memory.release();
  }

  /** Rows in one task of an elementwise operation. */
  #rowsOfTask(rows: number): number {
    return Math.max(1, Math.ceil(rows / (this.#pool.threads * 4)));
  }

  #run(kernel: string, numTasks: number, elements: number): void {
    this.#pool.run(kernel, PARAMS_ADDRESS, numTasks, elements > PARALLEL_ELEMENTS);
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
