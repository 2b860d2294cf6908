/** @file Ends work that a store does not answer in time, whether the backend listens to its signal or not. */
import { linkedAbort } from "../../linked-abort.ts";

/** Timers of more are over at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Runs `work` for at most `ms`, or until `ending` is aborted.
 * @throws what `work` throws, or an error that says that the time is up or that the work was ended
 */
export async function within<T>(
  ms: number,
  ending: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { controller, release } = linkedAbort(ending);
  const { signal } = controller;
  const limit = Math.min(ms, MAX_TIMER_MS);
  const timer = setTimeout(() => controller.abort(new Error(`no answer within ${ms} ms`)), limit);
  try {
    return await new Promise<T>((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      work(signal).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    release();
  }
}
