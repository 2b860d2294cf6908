/** @file The memory that a model may come to on a backend, for programs that hold several. */
import { planTogether } from "../plan/memory-plan.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";
import type { FitOptions } from "./check-fit.ts";

export interface Footprint {
  /** Weights, work, and all pages that the budget allows, or without one those of a sequence; infinite where nothing plans the backend. */
  readonly bytes: number;
  /** What there is for all models on that backend: what was given, or what the machine or the device has; infinite where nobody knows. */
  readonly availableBytes: number;
}

type PlannedOptions = Pick<FitOptions, "model" | "backend" | "memory" | "kv" | "otherKv" | "weights" | "kvBudgetBytes">;

/** context: the most tokens of a sequence */
export function footprintBytes(options: PlannedOptions, context: number): number {
  const { model, backend, memory, kv, otherKv = [], weights, kvBudgetBytes } = options;
  const memories = { bytes: memory.bytes, count: memory.count ?? 1 };
  const plan = planTogether(model, { kv: [kv, ...otherKv], weights, backend, memories });
  const whole = plan.at(context);
  if (kvBudgetBytes === undefined || !Number.isFinite(kvBudgetBytes)) return whole.totalBytes;
  // A sequence ends where the budget does; what others keep beside it fills the rest.
  const holds = (pages: number): boolean => plan.at(pages * PAGE_TOKENS).cacheBytes <= kvBudgetBytes;
  let [low, high] = [1, Math.ceil(context / PAGE_TOKENS) + 1];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) low = middle;
    else high = middle;
  }
  const { totalBytes, cacheBytes } = plan.at(Math.min(context, low * PAGE_TOKENS));
  return totalBytes + Math.max(0, kvBudgetBytes - cacheBytes);
}
