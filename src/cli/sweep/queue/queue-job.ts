/** @file What a sweep's queue carries between hosts: jobs, their outcomes, and reports of workers. */
import type { ErrorCode } from "../../../errors.ts";
import { sha256Hex } from "../../../formats/sha256.ts";
import type { SweepText, Task, TaskResult, WorkerSetup } from "../task.ts";

/** Version of the jobs; a worker refuses others. */
export const JOB_VERSION = 1;

/** The text of a job. A given one lies on the server once, under its digest. */
export type JobText =
  | { readonly kind: "given"; readonly sha256: string; readonly source: string }
  | Extract<SweepText, { kind: "own" }>;

/** What all jobs of a sweep share. Each worker has its own number of threads, on which no figure depends. */
export type JobSetup = Omit<WorkerSetup, "text" | "threads"> & { readonly text: JobText };

export interface SweepJob {
  readonly version: typeof JOB_VERSION;
  /** The turboquant that a worker must be, as `buildName` says it. */
  readonly build: string;
  readonly model: {
    /** As the space names it; where it lies is each worker's affair. */
    readonly name: string;
    /** See `modelIdentity`. */
    readonly identity: string;
  };
  readonly setup: JobSetup;
  readonly task: Omit<Task, "ref">;
}

/** What came of a job. */
export type JobOutcome =
  | { readonly kind: "done"; readonly result: TaskResult }
  /** The task cannot be done. */
  | { readonly kind: "failed"; readonly code: ErrorCode; readonly message: string }
  /** The process that computed it ended; another attempt may succeed. */
  | { readonly kind: "ended"; readonly message: string }
  /** A fault of the program. */
  | { readonly kind: "fault"; readonly message: string };

/** What a worker tells of a job before its outcome. */
export type JobReport =
  | { readonly kind: "share"; readonly share: number }
  | { readonly kind: "refused"; readonly worker: string; readonly reason: string };

/** Names a job of a sweep by all that it says, so that the same task is one job however often it is handed out, and no other has its result. */
export function jobId(sweepId: string, { version, build, model, setup, task }: SweepJob): string {
  const all = JSON.stringify([version, build, model, setup, task.ctx, task.chunks, task.kv]);
  return `${sweepId}-${sha256Hex([new TextEncoder().encode(all)]).slice(0, 24)}`;
}

/** The key of a text on the server. */
export const textKey = (prefix: string, sha256: string): string => `${prefix}:text:${sha256}`;

const NUMBER = "$number";

/** As JSON, in which numbers that JSON lacks (NaN and the infinities) are objects `{"$number": "NaN"}`. */
export function encodeOutcome(outcome: JobOutcome): string {
  return JSON.stringify(outcome, (_key, value) =>
    typeof value === "number" && !Number.isFinite(value) ? { [NUMBER]: String(value) } : value,
  );
}

/** The inverse of `encodeOutcome`. */
export function decodeOutcome(text: string): JobOutcome {
  return JSON.parse(text, (_key, value) =>
    value !== null && typeof value === "object" && NUMBER in value ? Number(value[NUMBER]) : value,
  );
}
