/** @file Threads: failures are errors, never hangs, and nothing is left running. */
import { afterEach, describe, expect, it } from "vitest";
import { nodePlatform } from "../../node/platform.ts";
import { setPlatform, type WorkerHandle } from "../../platform.ts";
import { createWasmBackend } from "./backend.ts";
import { planThreads } from "./environment.ts";
import { compileKernels } from "./load-kernels.ts";
import { PARAMS_ADDRESS, WasmMemory } from "./memory.ts";
import { ThreadPool } from "./thread-pool.ts";

/** A platform whose workers we watch; `edit` changes their source. */
function watch(edit: (source: string) => string = (source) => source) {
  const seen = { started: 0, stopped: 0, listeners: [] as ((error: Error) => void)[] };
  setPlatform({
    ...nodePlatform,
    spawnWorker(source): WorkerHandle {
      const worker = nodePlatform.spawnWorker(edit(source));
      seen.started++;
      return {
        postMessage: (message) => worker.postMessage(message),
        onError(listener) {
          seen.listeners.push(listener);
          worker.onError(listener);
        },
        terminate() {
          seen.stopped++;
          return worker.terminate();
        },
      };
    },
  });
  return seen;
}

afterEach(() => setPlatform(nodePlatform));

async function createPool(threads: number, stallTimeoutMs = 1000): Promise<ThreadPool> {
  const memory = new WasmMemory(true);
  return ThreadPool.create(memory, await compileKernels("strict", true), threads, { stallTimeoutMs });
}

/** A run of rmsNorm over no rows: every task returns at once. */
const run = (pool: ThreadPool, tasks = 64) => pool.run("rmsNorm", PARAMS_ADDRESS, tasks);

describe("ThreadPool", () => {
  it("stops every worker it started, once, and lets go of the memory", async () => {
    const seen = watch();
    const ops = await createWasmBackend({ threads: 3 });
    expect(seen.started).toBe(2);
    expect(ops.describe()).toMatch(/^wasm simd128.*, 3 threads$/);
    await ops.dispose();
    await ops.dispose();
    expect(seen.stopped).toBe(2);
    expect(() => ops.alloc(1 << 20)).toThrow(/disposed; load the model again/);
  });

  it("says that the backend was disposed", async () => {
    const pool = await createPool(2);
    await pool.dispose();
    expect(() => run(pool)).toThrow(/disposed; load the model again/);
  });

  it("survives thousands of runs in a row, with sleeps in between", async () => {
    const pool = await createPool(3);
    for (let i = 0; i < 3000; i++) run(pool, 1 + (i % 7));
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (let i = 0; i < 100; i++) run(pool);
    await pool.dispose();
  });

  it("fails when a worker keeps a task for ever", async () => {
    watch((source) => source.replace("kernel(task, params, scratch);", "for (;;);"));
    const pool = await createPool(2, 300);
    // The worker may sleep through a run; it takes a task of one of the next.
    const runAll = () => {
      for (let i = 0; i < 100_000; i++) run(pool, 1000);
    };
    expect(runAll).toThrow(/took a task of rmsNorm and did not come back; load the model again/);
    expect(() => run(pool)).toThrow(expect.objectContaining({ code: "device_lost" }));
    await pool.dispose();
  });

  it("fails when a kernel traps in a worker", async () => {
    watch((source) => source.replace("kernel(task, params, scratch);", 'throw new Error("trap");'));
    const pool = await createPool(2);
    const runAll = () => {
      for (let i = 0; i < 100_000; i++) run(pool, 1000);
    };
    expect(runAll).toThrow(/kernel rmsNorm trapped in a worker thread/);
    await pool.dispose();
  });

  it("fails after a worker has died between runs", async () => {
    const seen = watch();
    const pool = await createPool(2);
    seen.listeners[0]!(new Error("worker thread stopped with exit code 1"));
    expect(() => run(pool)).toThrow(/exit code 1; load the model again/);
    await pool.dispose();
  });

  it("reports a worker that does not start, with the next step", async () => {
    watch(() => 'throw new Error("blocked by policy");');
    await expect(createPool(2)).rejects.toThrow(/did not start \(blocked by policy\); use one thread/);
  });
});

describe("planThreads", () => {
  const node = { concurrency: 8, canShare: true, canWait: true };

  it("takes what the machine has unless told otherwise", () => {
    expect(planThreads(undefined, node).threads).toBe(8);
    expect(planThreads(undefined, { ...node, concurrency: 64 }).threads).toBe(16);
    expect(planThreads(3, node).threads).toBe(3);
  });

  it("falls back to one thread in a page that is not isolated, and says so; refuses an explicit number", () => {
    const page = { concurrency: 8, canShare: false, canWait: false };
    expect(planThreads(undefined, page)).toEqual({ threads: 1, note: "the page is not cross-origin isolated" });
    expect(planThreads(1, page).threads).toBe(1);
    expect(() => planThreads(4, page)).toThrow(/Cross-Origin-Opener-Policy/);
  });

  it("refuses threads where the caller may not wait", () => {
    expect(() => planThreads(undefined, { ...node, canWait: false })).toThrow(/run it in a Worker, or pass threads: 1/);
  });

  it.each([0, -1, 1.5, Number.NaN, 1000])("refuses %s threads", (threads) => {
    expect(() => planThreads(threads, node)).toThrow(/threads: expected an integer from 1 to 256/);
  });
});
