/** @file Lets timers, signals and sockets run between two steps of computation. */

const waiting: (() => void)[] = [];
let channel: MessageChannel | null = null;

/** Resolves in a new macrotask, because a resolved promise alone would not let the event loop run. */
export function yieldNow(): Promise<void> {
  return new Promise((resolve) => {
    const immediate = (globalThis as { setImmediate?: (callback: () => void) => void }).setImmediate;
    if (immediate) immediate(resolve);
    else postTask(resolve);
  });
}

/** Browsers delay timers by 4 ms, and by a second or a minute in background tabs, but not messages. */
function postTask(task: () => void): void {
  if (!channel) {
    channel = new MessageChannel();
    channel.port1.onmessage = () => waiting.shift()?.();
  }
  waiting.push(task);
  channel.port2.postMessage(null);
}
