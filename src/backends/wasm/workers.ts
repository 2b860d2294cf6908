/** @file The worker threads of a backend and the runs they take part in. They are shared by all memories. */
import { TurboQuantError } from "../../errors.ts";
import { getPlatform, type WorkerHandle } from "../../platform.ts";
import { SCRATCH_BYTES } from "../parameters/attention.ts";
import type { Kernel } from "./load-kernels.ts";
import type { WasmMemory } from "./memory.ts";
import { CONTROL, WORKER_SOURCE } from "./worker-source.ts";

/** A worker that has not started after this time never will. */
const START_TIMEOUT_MS = 20_000;
/** A task takes milliseconds at most, so a worker that needs this long has died. */
const STALL_TIMEOUT_MS = 30_000;
/** How often ACTIVE is read before sleeping, since the workers are then in their last task. */
const SPINS = 50_000;

export interface WorkersOptions {
  /** For tests: the time after which a worker that took a task counts as dead. */
  readonly stallTimeoutMs?: number;
}

/** A kernel in one memory, as the workers and the calling thread know it. */
export interface KernelCall {
  readonly name: string;
  /** Position of the memory in the order in which memories were added. */
  readonly memory: number;
  /** Position of the kernel among the names that came with the memory. */
  readonly index: number;
  readonly kernel: Kernel;
  /** Address of the calling thread's scratch memory. */
  readonly scratch: number;
}

export class Workers {
  /** Number of threads, the calling one included. */
  readonly threads: number;
  readonly #module: WebAssembly.Module;
  readonly #stallTimeoutMs: number;
  /** Words in the first memory. */
  #control = new Int32Array(0);
  #workers: WorkerHandle[] = [];
  #memories = 0;
  #error: Error | null = null;
  #disposed = false;

  constructor(module: WebAssembly.Module, threads: number, { stallTimeoutMs }: WorkersOptions) {
    this.threads = threads;
    this.#module = module;
    this.#stallTimeoutMs = stallTimeoutMs ?? STALL_TIMEOUT_MS;
  }

  get module(): WebAssembly.Module {
    return this.#module;
  }

  /**
   * Gives the workers one more memory; the first one starts them. Must not be called during a run.
   *
   * names: of the kernels, in the order of their indices · returns: the memory's position
   * @throws TurboQuantError unsupported — workers do not start here
   */
  async add(memory: WasmMemory, names: readonly string[]): Promise<number> {
    this.assertLive();
    const position = this.#memories++;
    if (position === 0) {
      const control = memory.allocateZeroed(4 * CONTROL.words, "the thread pool");
      this.#control = new Int32Array(memory.memory.buffer, control, CONTROL.words);
      for (let i = 1; i < this.threads; i++) {
        const worker = getPlatform().spawnWorker(WORKER_SOURCE);
        this.#workers.push(worker);
        worker.onError((error) => {
          this.#error ??= error;
        });
      }
    }
    const c = this.#control;
    // Workers that wait for runs leave off, so that they receive their message.
    Atomics.store(c, CONTROL.memories, this.#memories);
    Atomics.add(c, CONTROL.generation, 1);
    if (this.#workers.length > 0) Atomics.notify(c, CONTROL.generation);
    for (const worker of this.#workers) {
      const { address: scratch } = memory.heap.allocate(SCRATCH_BYTES, "scratch of a thread");
      worker.postMessage({ module: this.#module, memory: memory.memory, control: c.byteOffset, scratch, names });
    }
    await this.#ready();
    return position;
  }

  /** Waits until every worker has every memory. */
  async #ready(): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (Atomics.load(this.#control, CONTROL.ready) < this.#workers.length * this.#memories) {
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
   * Runs tasks 0 … numTasks − 1 of a kernel on all threads and returns when all are done.
   * @throws TurboQuantError internal — a kernel trapped; device_lost — a worker died. After either, no run is possible any more
   */
  run({ name, memory, index, kernel, scratch }: KernelCall, params: number, numTasks: number): void {
    const c = this.#control;
    // Not atomic, because no thread reads these before OPEN is set.
    c[CONTROL.kernel] = index;
    c[CONTROL.memory] = memory;
    c[CONTROL.params] = params;
    c[CONTROL.numTasks] = numTasks;
    c[CONTROL.next] = 0;
    Atomics.store(c, CONTROL.open, 1);
    Atomics.add(c, CONTROL.generation, 1);
    if (Atomics.load(c, CONTROL.sleeping) > 0) Atomics.notify(c, CONTROL.generation);
    try {
      for (let task: number; (task = Atomics.add(c, CONTROL.next, 1)) < numTasks; ) kernel(task, params, scratch);
    } finally {
      Atomics.store(c, CONTROL.open, 0);
      this.#join(name);
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

  /** @throws TurboQuantError device_lost — after a failure, or disposed of */
  assertLive(): void {
    if (this.#error || this.#disposed) throw this.#lost();
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

  /** Stops the workers and lets go of the first memory. Idempotent. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#control = new Int32Array(0);
    await Promise.all(this.#workers.splice(0).map((worker) => worker.terminate()));
  }
}
