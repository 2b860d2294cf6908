/** @file One finished run of a sweep, as a line of results.jsonl. */
import type { EvalRow } from "../eval/evaluate.ts";
import type { Parameters } from "./parameters.ts";

interface RunIdentity {
  /** Identifies everything that the figures depend on (`runId`). */
  readonly id: string;
  readonly part: string;
  readonly parameters: Parameters;
  readonly model: string;
  readonly ctx: number;
  readonly chunks: number;
  readonly kv: string;
  /** When the run ended, as ISO 8601. */
  readonly date: string;
  /** Wall time of the sweep when the run ended, including earlier sessions of a sweep that was stopped. */
  readonly sweepSeconds: number;
}

/** The figures of `EvalRow`, the choice of parameters, and the score. */
export interface DoneRow extends RunIdentity, Omit<EvalRow, "model" | "kv" | "chunks" | "ctx"> {
  readonly status: "done";
  /** The value of the objective; smaller is better. */
  readonly score: number;
  /** Bits a value that would give a KLD of 1 nat (`rateOf`). */
  readonly rate: number;
  /** Number of parameters of the model. */
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

/** The last row of each run, in the order of the first ones: a failed run may have been tried again. */
export function latestRows(rows: readonly SweepRow[]): SweepRow[] {
  return [...new Map(rows.map((row) => [row.id, row])).values()];
}
