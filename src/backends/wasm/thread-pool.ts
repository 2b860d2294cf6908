/**
 * @file Runs the tasks of kernels in one memory on all threads. Tasks are taken one by one from a shared counter, so a slow
 * core takes fewer. Kernels are written so that the result does not depend on which thread runs a task.
 */
import { TurboQuantError } from "../../errors.ts";
import { SCRATCH_BYTES } from "../parameters/attention.ts";
import { instantiate } from "./load-kernels.ts";
import type { WasmMemory } from "./memory.ts";
import { type KernelCall, Workers, type WorkersOptions } from "./workers.ts";

export class ThreadPool {
  readonly #workers: Workers;
  #kernels: ReadonlyMap<string, KernelCall>;

  private constructor(workers: Workers, kernels: ReadonlyMap<string, KernelCall>) {
    this.#workers = workers;
    this.#kernels = kernels;
  }

  /**
   * The calling thread is one of the `threads`; if there are more, it must be allowed to wait.
   * @throws TurboQuantError unsupported — workers do not start here, or this thread may not wait
   */
  static create(
    memory: WasmMemory,
    module: WebAssembly.Module,
    threads: number,
    options: WorkersOptions = {},
  ): Promise<ThreadPool> {
    return ThreadPool.#over(memory, new Workers(module, threads, options));
  }

  /**
   * A pool of the same threads over another memory. Only one of the pools may be running.
   * @throws TurboQuantError device_lost — disposed of, or after a failure
   */
  addMemory(memory: WasmMemory): Promise<ThreadPool> {
    return ThreadPool.#over(memory, this.#workers);
  }

  static async #over(memory: WasmMemory, workers: Workers): Promise<ThreadPool> {
    const kernels = Object.entries(instantiate(workers.module, memory.memory)).filter(
      ([, kernel]) => typeof kernel === "function",
    );
    const scratch = memory.heap.allocate(SCRATCH_BYTES, "scratch of a thread").address;
    const position = await workers.add(
      memory,
      kernels.map(([name]) => name),
    );
    const calls = kernels.map(([name, kernel], index) => ({ name, memory: position, index, kernel, scratch }));
    return new ThreadPool(workers, new Map(calls.map((call) => [call.name, call])));
  }

  /** Number of threads, the calling one included. */
  get threads(): number {
    return this.#workers.threads;
  }

  /**
   * Runs tasks 0 … numTasks − 1 of a kernel and returns when all are done.
   * parallel: false for work that takes less time than waking another thread (about 5 µs)
   * @throws TurboQuantError internal — a kernel trapped; device_lost — a worker died. After either, the pool cannot be used any more
   */
  run(kernel: string, params: number, numTasks: number, parallel = true): void {
    this.#workers.assertLive();
    const call = this.#kernels.get(kernel);
    if (!call) throw new TurboQuantError("internal", `internal: the module has no kernel ${kernel}`);
    if (parallel && numTasks >= 2 && this.threads > 1) {
      this.#workers.run(call, params, numTasks);
      return;
    }
    const { kernel: compute, scratch } = call;
    for (let task = 0; task < numTasks; task++) compute(task, params, scratch);
  }

  /** Stops the threads of all memories and lets go of this one. Idempotent. */
  async dispose(): Promise<void> {
    this.#kernels = new Map();
    await this.#workers.dispose();
  }
}
