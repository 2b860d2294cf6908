/**
 * @file Runs a kernel's tasks on all threads. Tasks are taken one by one from a shared counter, so a slow core takes fewer.
 * Kernels are written so that the result does not depend on which thread runs a task.
 */
import { TurboQuantError } from "../../errors.ts";
import { getPlatform, type WorkerHandle } from "../../platform.ts";
import { SCRATCH_BYTES } from "../parameters/attention.ts";
import { instantiate, type Kernel } from "./load-kernels.ts";
import type { WasmMemory } from "./memory.ts";
import { CONTROL, WORKER_SOURCE } from "./worker-source.ts";

/** A worker that has not started after this time never will. */
const START_TIMEOUT_MS = 20_000;
/** A task takes milliseconds at most, so a worker that needs this long has died. */
const STALL_TIMEOUT_MS = 30_000;
/** How often ACTIVE is read before sleeping, since the workers are then in their last task. */
const SPINS = 50_000;

export interface ThreadPoolOptions {
  /** For tests: the time after which a worker that took a task counts as dead. */
  readonly stallTimeoutMs?: number;
}

export class ThreadPool {
  /** Number of threads, the calling one included. */
  readonly threads: number;
  #kernels: readonly Kernel[];
  readonly #indices: ReadonlyMap<string, number>;
  readonly #scratch: number;
  #control: Int32Array;
  readonly #workers: WorkerHandle[] = [];
  readonly #stallTimeoutMs: number;
  #error: Error | null = null;
  #disposed = false;

  private constructor(memory: WasmMemory, module: WebAssembly.Module, threads: number, options: ThreadPoolOptions) {
    const kernels = Object.entries(instantiate(module, memory.memory)).filter(([, f]) => typeof f === "function");
    this.threads = threads;
    this.#kernels = kernels.map(([, kernel]) => kernel);
    this.#indices = new Map(kernels.map(([name], index) => [name, index]));
    this.#scratch = memory.heap.allocate(SCRATCH_BYTES, "scratch of a thread").address;
    const control = memory.allocateZeroed(4 * CONTROL.words, "the thread pool");
    this.#control = new Int32Array(memory.memory.buffer, control, CONTROL.words);
    this.#stallTimeoutMs = options.stallTimeoutMs ?? STALL_TIMEOUT_MS;
  }

  /**
   * The calling thread is one of the `threads`; if there are more, it must be allowed to wait.
   * @throws TurboQuantError unsupported — workers do not start here, or this thread may not wait
   */
  static async create(
    memory: WasmMemory,
    module: WebAssembly.Module,
    threads: number,
    options: ThreadPoolOptions = {},
  ): Promise<ThreadPool> {
    const pool = new ThreadPool(memory, module, threads, options);
    for (let i = 1; i < threads; i++) {
      const { address: scratch } = memory.heap.allocate(SCRATCH_BYTES, "scratch of a thread");
      const worker = getPlatform().spawnWorker(WORKER_SOURCE);
      pool.#workers.push(worker);
      worker.onError((error) => {
        pool.#error ??= error;
      });
      const names = [...pool.#indices.keys()];
      worker.postMessage({ module, memory: memory.memory, control: pool.#control.byteOffset, scratch, names });
    }
    await pool.#started();
    return pool;
  }

  async #started(): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    const control = this.#control;
    while (Atomics.load(control, CONTROL.ready) < this.#workers.length) {
      if (this.#error || performance.now() > deadline) {
        const cause = this.#error;
        await this.dispose();
        throw new TurboQuantError(
          "unsupported",
          `wasm backend: a worker thread did not start (${cause ? cause.message : "no answer"}); ` +
            "use one thread (--threads 1), or allow workers here (in a page: `worker-src blob:`)",
          {},
          { cause },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /**
   * Runs tasks 0 … numTasks − 1 of a kernel and returns when all are done.
   * parallel: false for work that takes less time than waking another thread (about 5 µs)
   * @throws TurboQuantError internal — a kernel trapped; device_lost — a worker died. After either, the pool cannot be used any more
   */
  run(kernel: string, params: number, numTasks: number, parallel = true): void {
    if (this.#error || this.#disposed) throw this.#lost();
    const index = this.#indices.get(kernel);
    if (index === undefined) throw new TurboQuantError("internal", `internal: the module has no kernel ${kernel}`);
    const call = this.#kernels[index]!;
    const scratch = this.#scratch;
    if (!parallel || this.#workers.length === 0 || numTasks < 2) {
      for (let task = 0; task < numTasks; task++) call(task, params, scratch);
      return;
    }
    const c = this.#control;
    // Not atomic, because no thread reads these before OPEN is set.
    c[CONTROL.kernel] = index;
    c[CONTROL.params] = params;
    c[CONTROL.numTasks] = numTasks;
    c[CONTROL.next] = 0;
    Atomics.store(c, CONTROL.open, 1);
    Atomics.add(c, CONTROL.generation, 1);
    if (Atomics.load(c, CONTROL.sleeping) > 0) Atomics.notify(c, CONTROL.generation);
    try {
      for (let task: number; (task = Atomics.add(c, CONTROL.next, 1)) < numTasks; ) call(task, params, scratch);
    } finally {
      Atomics.store(c, CONTROL.open, 0);
      this.#join(kernel);
    }
  }

  /** Waits until no worker is inside the run. */
  #join(kernel: string): void {
    const c = this.#control;
    for (let spins = 0; spins < SPINS && Atomics.load(c, CONTROL.active) !== 0; spins++);
    const start = performance.now();
    for (let active: number; (active = Atomics.load(c, CONTROL.active)) !== 0; ) {
      Atomics.wait(c, CONTROL.active, active, this.#stallTimeoutMs / 4);
      if (performance.now() - start > this.#stallTimeoutMs && Atomics.load(c, CONTROL.active) !== 0) {
        this.#error = new Error(`a worker thread took a task of ${kernel} and did not come back`);
        throw this.#lost();
      }
    }
    if (Atomics.load(c, CONTROL.failed) === 0) return;
    this.#error = new Error(`kernel ${kernel} trapped in a worker thread`);
    throw new TurboQuantError("internal", `internal: ${this.#error.message}`, { kernel });
  }

  #lost(): TurboQuantError {
    const reason = this.#disposed ? "the backend was disposed" : (this.#error?.message ?? "a worker thread died");
    return new TurboQuantError(
      "device_lost",
      `wasm backend: ${reason}; load the model again`,
      {},
      { cause: this.#error },
    );
  }

  /** Stops the workers and releases the memory. Idempotent. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#kernels = [];
    this.#control = new Int32Array(0);
    await Promise.all(this.#workers.splice(0).map((worker) => worker.terminate()));
  }
}
