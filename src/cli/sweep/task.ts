/** @file What a worker of a sweep is given and gives back. */
import type { BackendName, WeightType } from "../../backends/ops.ts";
import type { EvalRow } from "../../eval/evaluate.ts";

/** The text of all runs: the user's, or one that each model writes for itself. */
export type SweepText =
  | { readonly kind: "given"; readonly text: string; readonly source: string }
  | { readonly kind: "own"; readonly tokens: number; readonly seed: number };

/** The same for every task of a sweep. */
export interface WorkerSetup {
  readonly text: SweepText;
  readonly base: string;
  readonly needle: number;
  readonly backend: BackendName | "auto";
  readonly weights: WeightType | "auto";
  readonly threads: number;
}

/** Formats that share a model, a text and one run of the base. */
export interface Task {
  /** Directory, hub id or embedded model. */
  readonly ref: string;
  readonly ctx: number;
  readonly chunks: number;
  readonly kv: readonly string[];
}

export interface TaskResult {
  /** One a format, in order. */
  readonly rows: readonly EvalRow[];
  readonly numParameters: number;
  readonly backend: string;
}

/** Something that evaluates one task at a time. */
export interface Evaluator {
  /**
   * onShare: part of the task that is done, 0 … 1
   * @throws TurboQuantError — this task cannot be done; WorkerEnded — the process went away, another attempt may succeed
   */
  evaluate(task: Task, onShare: (share: number) => void, signal: AbortSignal): Promise<TaskResult>;
  dispose(): Promise<void>;
}

export class WorkerEnded extends Error {}
