/** @file The WASM backend: SIMD kernels on shared memory and threads, in Node and in a browser's worker. */
import type { PageStorage } from "../../cache/page-storage.ts";
import { TurboQuantError } from "../../errors.ts";
import { getPlatform } from "../../platform.ts";
import type { AttentionLayer, Buf, Ops, Rope, Step, Weight, WeightPart, WeightType } from "../ops.ts";
import { KvKernels } from "./kv-kernels.ts";
import { LinearKernels, type WasmWeight } from "./linear-kernels.ts";
import { compileKernels } from "./load-kernels.ts";
import { WasmMemory } from "./memory.ts";
import { WasmPageStorage } from "./page-storage.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import { chooseVariant } from "./self-test.ts";
import { ThreadPool } from "./thread-pool.ts";

export interface WasmOptions {
  /** Threads, the calling one included; by default the platform's concurrency, at most 16. */
  readonly threads?: number;
  /** Most bytes of WASM memory, at most 4 GiB. */
  readonly memoryLimitBytes?: number;
  /** Relaxed SIMD: `auto` uses it where the engine has it and a self-test passes. */
  readonly relaxed?: "auto" | "off";
}

/** Beyond this, the barriers of a step cost more than another thread brings. */
const MAX_DEFAULT_THREADS = 16;
/** Work below which a kernel runs on the calling thread alone, in f32 values touched. */
const PARALLEL_VALUES = 32_768;

class WasmBuf implements Buf {
  readonly length: number;
  readonly address: number;
  constructor(address: number, length: number) {
    this.address = address;
    this.length = length;
  }
}

const at = (buf: Buf): number => (buf as WasmBuf).address;

class WasmBackend implements Ops {
  readonly name = "wasm";
  readonly pages: PageStorage;
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;
  readonly #variant: string;
  readonly #linear: LinearKernels;
  readonly #kv: KvKernels;
  readonly #params: number;
  readonly #tokens: ScratchBuffer;

  constructor(memory: WasmMemory, pool: ThreadPool, variant: string) {
    this.#memory = memory;
    this.#pool = pool;
    this.#variant = variant;
    this.pages = new WasmPageStorage(memory);
    this.#linear = new LinearKernels(memory, pool);
    this.#kv = new KvKernels(memory, pool);
    this.#params = memory.allocateZeroed(64, "kernel parameters");
    this.#tokens = new ScratchBuffer(memory);
  }

  describe(): string {
    const memory = this.#memory.shared ? "shared memory" : "memory of one thread (no SharedArrayBuffer here)";
    return `wasm ${this.#variant}, ${this.#pool.threads} thread${this.#pool.threads === 1 ? "" : "s"}, ${memory}`;
  }

  loadWeight(parts: readonly WeightPart[], as: WeightType): Weight {
    return this.#linear.load(parts, as);
  }

  alloc(length: number): Buf {
    return new WasmBuf(this.#memory.allocateZeroed(length * 4, "activations"), length);
  }

  free(buf: Buf): void {
    this.#memory.heap.free(at(buf), buf.length * 4);
  }

  embed(step: Step, table: Weight, out: Buf): void {
    const w = table as WasmWeight;
    const rows = step.tokens.length;
    const tokens = this.#putIndices(step.tokens);
    this.#run("embed", [w.address, w.typeCode, tokens, at(out), w.cols, w.stride], rows, rows * w.cols);
  }

  rmsNorm(x: Buf, weight: Weight, eps: number, rows: number, out: Buf): void {
    const w = weight as WasmWeight;
    const block = Math.max(1, Math.ceil(rows / 32));
    this.#memory.f32[this.#params / 4 + 6] = eps;
    this.#run("rmsNorm", [at(x), w.address, at(out), w.cols, rows, block], Math.ceil(rows / block), rows * w.cols);
  }

  linear(x: Buf, w: Weight, bias: Weight | null, rows: number, out: Buf, add: boolean): void {
    this.#linear.multiply(at(x), w as WasmWeight, bias as WasmWeight | null, rows, at(out), add);
  }

  appendKv(step: Step, layer: AttentionLayer, rope: Rope, qkv: Buf, q: Buf): void {
    const address = (w: Weight | null): number => (w as WasmWeight | null)?.address ?? 0;
    const norms = { q: address(layer.qNorm), k: address(layer.kNorm) };
    this.#kv.append(step, layer, rope, at(qkv), at(q), norms);
  }

  attend(step: Step, layer: AttentionLayer, q: Buf, out: Buf): void {
    this.#kv.attend(step, layer, at(q), at(out));
  }

  swiglu(gateUp: Buf, rows: number, width: number, out: Buf): void {
    const block = Math.max(1, Math.ceil(rows / 32));
    this.#run("swiglu", [at(gateUp), at(out), width, rows, block], Math.ceil(rows / block), rows * width * 4);
  }

  gatherRows(x: Buf, rowIndices: Int32Array, width: number, out: Buf): void {
    const { f32 } = this.#memory;
    rowIndices.forEach((row, i) => {
      const from = at(x) / 4 + row * width;
      f32.copyWithin(at(out) / 4 + i * width, from, from + width);
    });
  }

  async readback(buf: Buf, length: number): Promise<Float32Array> {
    // A copy on ordinary memory: what comes next may overwrite the buffer.
    const values = new Float32Array(length);
    values.set(this.#memory.f32.subarray(at(buf) / 4, at(buf) / 4 + length));
    return values;
  }

  async dispose(): Promise<void> {
    await this.#pool.dispose();
  }

  #run(kernel: string, words: readonly number[], tasks: number, values: number): void {
    this.#memory.u32.set(words, this.#params / 4);
    this.#pool.run(kernel, this.#params, tasks, values > PARALLEL_VALUES);
  }

  #putIndices(indices: Int32Array): number {
    const address = this.#tokens.ensure(indices.length * 4);
    this.#memory.i32.set(indices, address / 4);
    return address;
  }
}

/**
 * Compiles the kernels and starts the threads.
 * @throws TurboQuantError unsupported — no SIMD, or threads where they cannot be; out_of_memory — no room for the memory
 */
export async function createWasmBackend(options: WasmOptions = {}): Promise<Ops> {
  const shared = typeof SharedArrayBuffer !== "undefined";
  const wanted = options.threads ?? Math.min(MAX_DEFAULT_THREADS, getPlatform().concurrency);
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > 256) {
    throw new TurboQuantError("invalid_argument", `threads: expected a whole number from 1 to 256, got ${wanted}`, {
      threads: wanted,
    });
  }
  const threads = shared ? wanted : 1;
  if (threads > 1 && isBrowserWindow()) {
    throw new TurboQuantError(
      "unsupported",
      "wasm backend: a browser window may not wait for threads; load the model in a Worker, or pass threads: 1",
    );
  }
  const variant = options.relaxed === "off" ? "strict" : await chooseVariant();
  const memory = new WasmMemory(shared, options.memoryLimitBytes);
  const pool = await ThreadPool.create(memory, await compileKernels(variant, shared), threads);
  return new WasmBackend(memory, pool, variant === "relaxed" ? "relaxed simd128" : "simd128");
}

function isBrowserWindow(): boolean {
  const scope = globalThis as { window?: unknown; document?: unknown };
  return scope.window !== undefined && scope.document !== undefined;
}
