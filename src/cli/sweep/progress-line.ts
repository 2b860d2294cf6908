/** @file The progress line of a sweep. */
import { significant } from "../../format-number.ts";
import { isDone, type SweepRow } from "../../lab/sweep-row.ts";
import type { SweepState } from "./run-sweep.ts";

/** For example `45 s`, `12 min`, `3 h 20 min`. */
export function formatDuration(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** For example `k4v4,window=0 (4.25 bits, KLD 0.0123)`. */
function describeRun(row: SweepRow): string {
  return isDone(row) ? `${row.kv} (${row.bitsPerValue.toFixed(2)} bits, KLD ${significant(row.kldMean)})` : row.kv;
}

/** The part of the line that changes while a sweep runs. numWorkers: of a queue, null where there is none */
export function progressDetail(
  { done, total, failed, best, secondsLeft }: SweepState,
  numWorkers: number | null,
): string {
  return [
    `${done} of ${total} runs`,
    ...(numWorkers === null ? [] : [numWorkers === 1 ? "1 worker" : `${numWorkers} workers`]),
    ...(failed > 0 ? [`${failed} failed`] : []),
    secondsLeft === null ? "time left unknown" : `${formatDuration(secondsLeft)} left`,
    ...(best ? [`best ${describeRun(best)}`] : []),
  ].join("  ");
}
