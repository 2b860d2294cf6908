/** @file Lets timers, signals and sockets run between two steps of compute. */

/** Resolves in a new macrotask; a promise alone would keep the event loop out. */
export function yieldNow(): Promise<void> {
  return new Promise((resolve) => {
    const immediate = (globalThis as { setImmediate?: (callback: () => void) => void }).setImmediate;
    if (immediate) immediate(resolve);
    else setTimeout(resolve, 0);
  });
}
