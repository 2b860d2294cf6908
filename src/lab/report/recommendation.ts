/** @file The smallest format of each model that passes a gate, judged by the rows of a report. */
import {
  type Criterion,
  GATES,
  type GateName,
  judge,
  MIN_CHUNKS,
  MIN_CODES_READ,
  type Verdict,
  verdictOf,
} from "../../plan/gates.ts";
import type { ReportRow, RowGroup } from "./report-row.ts";

export interface Judged {
  readonly row: ReportRow;
  readonly criteria: readonly Criterion[];
  /** The measured p99.9 and the gate's limit for it; null when the gate has none. */
  readonly tail: { readonly value: number; readonly limit: number } | null;
  readonly verdict: Verdict;
}

export interface Recommendation {
  readonly gate: GateName;
  readonly group: RowGroup;
  /** The smallest format that passes; null when none does. */
  readonly chosen: Judged | null;
  /** Smaller formats for which the rows allow no decision. */
  readonly open: readonly Judged[];
}

/** Whether attention read too few codes for the row's figures to be about them. */
export const readsFewCodes = ({ codesRead }: { readonly codesRead?: number | null | undefined }): boolean =>
  (codesRead ?? 1) < MIN_CODES_READ;

/**
 * A row has no figures of single chunks, so its own intervals are used, doubled (`estimate` in plan/gates.ts), and a row of
 * fewer than three chunks passes no gate, nor does one whose texts hardly left sinks and window. Rows have no interval for the tail, so it is compared directly.
 */
function judgeRow(gate: GateName, row: ReportRow, rows: readonly ReportRow[]): Judged {
  const { tail: limits, ...rest } = GATES[gate];
  const evidence = {
    ...row,
    pplRatioSe: row.pplRatioSe ?? Number.NaN,
    kldMeanSe: row.kldMeanSe ?? Number.NaN,
    kldP999: row.kldP999 ?? Number.NaN,
  };
  const criteria = judge({ ...rest, tail: null }, [evidence]);
  const verdictOfAll = verdictOf(criteria);
  const isEvidence = row.chunks >= MIN_CHUNKS && !readsFewCodes(row);
  const known = verdictOfAll === "pass" && !isEvidence ? "open" : verdictOfAll;
  if (!limits) return { row, criteria, tail: null, verdict: known };
  const eight = rows.find(({ format }) => format.bits === 8 && format.side === "both")?.kldP999 ?? 0;
  const limit = Math.max(limits.floor, limits.ratio * eight);
  const tail = { value: evidence.kldP999, limit };
  const verdict = known === "fail" || tail.value > limit ? "fail" : Number.isNaN(tail.value) ? "open" : known;
  return { row, criteria, tail, verdict };
}

export function recommend(gate: GateName, group: RowGroup): Recommendation {
  const candidates = group.rows
    .filter(({ format }) => format.side === "both")
    .toSorted((a, b) => a.bitsPerValue - b.bitsPerValue || a.kldMean - b.kldMean)
    .map((row) => judgeRow(gate, row, group.rows));
  const at = candidates.findIndex(({ verdict }) => verdict === "pass");
  const smaller = at < 0 ? candidates : candidates.slice(0, at);
  return { gate, group, chosen: candidates[at] ?? null, open: smaller.filter(({ verdict }) => verdict === "open") };
}
