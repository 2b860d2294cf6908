/** @file Calibrates a model while nobody asks it for anything. */
import { refuseUnknownOptions } from "../../known-options.ts";
import type { OnProgress } from "../../platform.ts";
import type { LLM } from "../llm.ts";

export interface IdleOptions {
  /** Whether no request is at work. */
  readonly isIdle: () => boolean;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** How long nobody must have asked before it begins. */
  readonly idleMs?: number;
  /** Time between two looks. */
  readonly lookMs?: number;
  readonly onProgress?: OnProgress;
}

const IDLE_OPTIONS: Readonly<Record<keyof IdleOptions, true>> = {
  isIdle: true,
  signal: true,
  idleMs: true,
  lookMs: true,
  onProgress: true,
};

const IDLE_MS = 3000;
const LOOK_MS = 50;

/**
 * Makes a calibration (`LLM.calibrate`) when requests leave time. One that comes ends it after at most a step, and it begins again
 * later.
 *
 * returns: what came of it; null for a model that has a calibration, and when `signal` ended it
 */
export async function calibrateWhenIdle(llm: LLM, options: IdleOptions): ReturnType<LLM["calibrate"]> {
  refuseUnknownOptions("calibrateWhenIdle", options, IDLE_OPTIONS);
  const { isIdle, signal, lookMs = LOOK_MS } = options;
  while (await untilIdle({ ...options, lookMs })) {
    const interruption = new AbortController();
    const timer = setInterval(() => {
      if (signal.aborted || !isIdle()) interruption.abort();
    }, lookMs);
    try {
      return await llm.calibrate({ signal: interruption.signal, onProgress: options.onProgress });
    } catch (error) {
      if (!interruption.signal.aborted) throw error;
    } finally {
      clearInterval(timer);
    }
  }
  return null;
}

/** Resolves with true when nothing has been at work for `idleMs`, with false when `signal` aborts. */
export async function untilIdle({ isIdle, signal, idleMs = IDLE_MS, lookMs = LOOK_MS }: IdleOptions): Promise<boolean> {
  let idleSince = performance.now();
  while (!signal.aborted) {
    if (!isIdle()) idleSince = performance.now() + lookMs;
    else if (performance.now() - idleSince >= idleMs) return true;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
  return false;
}
