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

/** Signals that abort together. Each has few listeners, as Node warns of one that very many requests listen to. */
export interface AbortGroup {
  create(): AbortSignal;
  abort(): void;
  /** As that of `linkedAbort`. */
  release(): void;
}

/** A group that aborts when `signal` does, with its reason. */
export function abortGroup(signal: AbortSignal | undefined): AbortGroup {
  const { controller, release } = linkedAbort(signal);
  const members: AbortController[] = [];
  const abortOne = (member: AbortController): void => member.abort(controller.signal.reason);
  controller.signal.addEventListener("abort", () => members.forEach(abortOne), { once: true });
  return {
    create() {
      const member = new AbortController();
      if (controller.signal.aborted) abortOne(member);
      else members.push(member);
      return member.signal;
    },
    abort: () => controller.abort(),
    release,
  };
}
