/** @file A controller that follows a signal of the caller. */

/**
 * A controller that aborts when `signal` does, with its reason, and may be aborted for reasons of its own. `AbortSignal.any` is not
 * used: in Node 20 a composed signal that nobody but a waiting request holds is collected as garbage, and the abort is lost.
 * release: to be called at the end, so that a long-lived signal does not collect listeners
 */
export function linkedAbort(signal: AbortSignal | undefined): { controller: AbortController; release: () => void } {
  const controller = new AbortController();
  const forward = (): void => controller.abort(signal!.reason);
  if (signal?.aborted) forward();
  signal?.addEventListener("abort", forward);
  return { controller, release: () => signal?.removeEventListener("abort", forward) };
}
