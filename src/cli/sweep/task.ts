/** @file The tasks and results that a sweep exchanges with its workers. */
import type { WeightType } from "../../backends/ops.ts";
import type { BackendName } from "../../backends/registry.ts";
import type { EvalRow } from "../../eval/evaluate.ts";

/** The text of all runs: the user's file, or one that each model writes for itself. */
export type SweepText =
  | { readonly kind: "given"; readonly text: string; readonly source: string }
  | { readonly kind: "own"; readonly tokens: number; readonly seed: number };

/** Settings common to all tasks of a sweep. */
export interface WorkerSetup {
  readonly text: SweepText;
  readonly base: string;
  readonly needle: number;
  readonly backend: BackendName | "auto";
  readonly weights: WeightType | "auto";
  readonly threads: number;
}

/** Formats to evaluate with one model, one text and one run of the base. */
export interface Task {
  /** A directory, a hub id or the name of an embedded model. */
  readonly ref: string;
  readonly ctx: number;
  readonly chunks: number;
  readonly kv: readonly string[];
}

export interface TaskResult {
  /** One row for each format, in order. */
  readonly rows: readonly EvalRow[];
  readonly numParameters: number;
  readonly backend: string;
}

/** Evaluates one task at a time. */
export interface Evaluator {
  /**
   * onShare: called with the share of the task that is done, 0 to 1
   * @throws TurboQuantError — this task cannot be done; WorkerEnded — the process died, another attempt may succeed
   */
  evaluate(task: Task, onShare: (share: number) => void, signal: AbortSignal): Promise<TaskResult>;
  dispose(): Promise<void>;
}

export class WorkerEnded extends Error {}
