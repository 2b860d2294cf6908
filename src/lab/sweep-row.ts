/** @file One finished run of a sweep, as a line of results.jsonl. */
import type { EvalRow } from "../eval/evaluate.ts";
import type { Parameters } from "./parameters.ts";

interface RunIdentity {
  /** Of everything the figures depend on (`runId`). */
  readonly id: string;
  readonly part: string;
  readonly parameters: Parameters;
  readonly model: string;
  readonly ctx: number;
  readonly chunks: number;
  readonly kv: string;
  /** ISO 8601, when it ended. */
  readonly date: string;
  /** Wall time of the sweep when it ended, sessions before a stop included. */
  readonly sweepSeconds: number;
}

/** `EvalRow`'s figures, what was chosen, and what it comes to. */
export interface DoneRow extends RunIdentity, Omit<EvalRow, "model" | "kv" | "chunks" | "ctx"> {
  readonly status: "done";
  /** What the objective makes of it; smaller is better. */
  readonly score: number;
  /** Bits at the quality of 1 nat (`rateOf`). */
  readonly rate: number;
  /** Weights of the model, in numbers. */
  readonly numParameters: number;
  readonly backend: string;
  readonly commit: string | null;
}

export interface FailedRow extends RunIdentity {
  readonly status: "failed";
  readonly error: string;
}

export type SweepRow = DoneRow | FailedRow;

export const isDone = (row: SweepRow): row is DoneRow => row.status === "done";

/** The last row of each run, in the order of their first ones: a run that failed may have been tried again. */
export function latestRows(rows: readonly SweepRow[]): SweepRow[] {
  return [...new Map(rows.map((row) => [row.id, row])).values()];
}
