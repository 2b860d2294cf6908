/** @file Lets timers, signals and sockets run between two steps of compute. */

const waiting: (() => void)[] = [];
let channel: MessageChannel | null = null;

/** Resolves in a new macrotask; a promise alone would keep the event loop out. */
export function yieldNow(): Promise<void> {
  return new Promise((resolve) => {
    const immediate = (globalThis as { setImmediate?: (callback: () => void) => void }).setImmediate;
    if (immediate) immediate(resolve);
    else postTask(resolve);
  });
}

/** In a browser timers wait for 4 ms each, and for a second or a minute in a tab in the background; messages do not. */
function postTask(task: () => void): void {
  if (!channel) {
    channel = new MessageChannel();
    channel.port1.onmessage = () => waiting.shift()?.();
  }
  waiting.push(task);
  channel.port2.postMessage(null);
}
