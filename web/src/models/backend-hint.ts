/** @file What computes, in a sentence: what a choice of backend means in this browser, and how there would be more threads. */
import type { BackendChoice } from "../engine/protocol.ts";

export interface Computing {
  /** Whether the page may share memory between threads (cross-origin isolation). */
  readonly hasThreads: boolean;
  readonly cores: number;
  readonly hasGpu: boolean;
  /** Whether the page's service worker, which adds the headers that threads need, is at work or can be. */
  readonly canGetThreads: boolean;
}

export function thisBrowser(): Computing {
  return {
    hasThreads: globalThis.crossOriginIsolated,
    cores: navigator.hardwareConcurrency,
    hasGpu: "gpu" in navigator,
    canGetThreads: "serviceWorker" in navigator,
  };
}

export function backendHint(backend: BackendChoice, browser: Computing): string {
  const threads = threadsHint(browser);
  if (backend === "wasm") return `WebAssembly ${threads}`;
  if (backend === "webgpu") {
    return browser.hasGpu ? "The graphics card, whatever it is." : "This browser has no WebGPU here; it will say so.";
  }
  return `The graphics card if there is one, else the CPU ${threads}`;
}

function threadsHint({ hasThreads, cores, canGetThreads }: Computing): string {
  if (hasThreads) return `on ${cores} ${cores === 1 ? "thread" : "threads"}.`;
  if (cores === 1) return "on one thread.";
  return canGetThreads
    ? `on one thread; reload the page for ${cores} threads.`
    : `on one thread; for ${cores} threads the page must come over https, or from this machine.`;
}
