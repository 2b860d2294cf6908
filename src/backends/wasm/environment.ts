/** @file How many threads this platform allows, and whether memory can be shared. */
import { TurboQuantError } from "../../errors.ts";

export interface Environment {
  readonly concurrency: number;
  /** Whether SharedArrayBuffer may be used: always in Node, on a page only if it is cross-origin isolated. */
  readonly canShare: boolean;
  /** Whether this thread may block, unlike the main thread of a page. */
  readonly canWait: boolean;
}

export interface ThreadPlan {
  readonly threads: number;
  /** Why there are fewer threads than the machine has, for `describe()`; empty when there is no reason. */
  readonly note: string;
}

/** More threads do not help, because attention and matrices of one token are limited by memory bandwidth. */
export const MAX_DEFAULT_THREADS = 16;
const MAX_THREADS = 256;

export function detectEnvironment(concurrency: number): Environment {
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated ?? true;
  const canShare = typeof SharedArrayBuffer !== "undefined" && isolated;
  return { concurrency, canShare, canWait: canShare && mayWait() };
}

function mayWait(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * requested: undefined for as many threads as the machine has
 * @throws TurboQuantError invalid_argument — not a count; unsupported — more than one thread cannot work here
 */
export function planThreads(requested: number | undefined, environment: Environment): ThreadPlan {
  if (requested !== undefined && !(Number.isInteger(requested) && requested >= 1 && requested <= MAX_THREADS)) {
    throw new TurboQuantError(
      "invalid_argument",
      `threads: expected an integer from 1 to ${MAX_THREADS}, got ${requested}`,
      {
        threads: requested,
      },
    );
  }
  const threads = requested ?? Math.min(environment.concurrency, MAX_DEFAULT_THREADS);
  if (threads === 1) return { threads, note: "" };
  if (!environment.canShare) {
    const why = "the page is not cross-origin isolated";
    if (requested === undefined) return { threads: 1, note: why };
    throw new TurboQuantError(
      "unsupported",
      `threads: ${requested} need shared memory, and ${why}; serve it with the headers Cross-Origin-Opener-Policy: same-origin ` +
        "and Cross-Origin-Embedder-Policy: require-corp, or pass threads: 1",
      { threads: requested },
    );
  }
  if (!environment.canWait) {
    throw new TurboQuantError(
      "unsupported",
      "wasm backend: the main thread of a page may not wait for worker threads; run it in a Worker, or pass threads: 1",
      { threads },
    );
  }
  return { threads, note: "" };
}
