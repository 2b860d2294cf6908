/** @file The speed of the current answer in tokens per second, while it is generated. */
import type { Timings } from "turboquant";
import { createStore } from "../ui/store.ts";

export interface Speed {
  /** Tokens per second in each past interval, oldest first. */
  readonly history: readonly number[];
  /** Tokens per second in the last interval; after the answer, the mean of all of it. */
  readonly tokPerSec: number;
  readonly prefillTokPerSec: number;
  readonly ttftMs: number;
}

const NONE: Speed = { history: [], tokPerSec: 0, prefillTokPerSec: 0, ttftMs: 0 };
/** Tokens of a small model take a few milliseconds each, so single tokens would give no useful speed. */
const INTERVAL_MS = 200;
const MOST_INTERVALS = 120;

export const speedStore = createStore<Speed>(NONE);

let since: { at: number; tokens: number } | null = null;

export function resetSpeed(): void {
  since = null;
  speedStore.set(NONE);
}

/** tokens: number generated in this answer so far · timings: given at its end */
export function noteSpeed(tokens: number, timings?: Timings, now = performance.now()): void {
  if (timings) {
    const { ttftMs, prefillTokPerSec, decodeTokPerSec } = timings;
    speedStore.update(({ history }) => ({ history, ttftMs, prefillTokPerSec, tokPerSec: decodeTokPerSec }));
    return;
  }
  if (!since) {
    since = { at: now, tokens };
    return;
  }
  const { at, tokens: before } = since;
  if (now - at < INTERVAL_MS || tokens === before) return;
  const tokPerSec = ((tokens - before) * 1000) / (now - at);
  since = { at: now, tokens };
  speedStore.update((speed) => ({
    ...speed,
    tokPerSec,
    history: [...speed.history, tokPerSec].slice(-MOST_INTERVALS),
  }));
}
