/** @file Starts worker threads from source text. */
import { Worker } from "node:worker_threads";
import type { WorkerHandle } from "../platform.ts";

/**
 * The worker does not keep the process alive. It does not inherit `execArgv`: it imports nothing, and loaders of the main
 * thread (tsx, vitest) would cost it tens of milliseconds.
 */
export function spawnNodeWorker(source: string): WorkerHandle {
  const worker = new Worker(source, { eval: true, execArgv: [] });
  worker.unref();
  let stopping = false;
  return {
    postMessage: (message) => worker.postMessage(message),
    onError(listener) {
      worker.on("error", listener);
      worker.on("messageerror", listener);
      worker.on("exit", (code) => {
        if (!stopping && code !== 0) listener(new Error(`worker thread stopped with exit code ${code}`));
      });
    },
    terminate() {
      stopping = true;
      return worker.terminate();
    },
  };
}
