/** @file Rows that tools/record-findings.ts has measured. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { LayerDiagnosis } from "../../src/eval/diagnose.ts";
import type { EvalRow } from "../../src/eval/evaluate.ts";

export const OUT = fileURLToPath(new URL("../../bench/results/findings.jsonl", import.meta.url));

export interface EvalFinding extends EvalRow {
  readonly kind: "eval";
}
export interface AnswerFinding {
  readonly kind: "answer";
  readonly model: string;
  readonly kv: string;
  readonly question: string;
  readonly answer: string;
}
export interface CosineFinding {
  readonly kind: "cosines";
  readonly model: string;
  readonly kv: string;
  readonly top1: number;
  readonly tokens: number;
  readonly layers: readonly LayerDiagnosis[];
}
export type FindingRow = EvalFinding | AnswerFinding | CosineFinding;

export function findingRows(): FindingRow[] {
  if (!existsSync(OUT)) return [];
  const lines = readFileSync(OUT, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line) as FindingRow);
}

/** The last row of this kind for a model and a format. */
export function findRow<K extends FindingRow["kind"]>(
  rows: readonly FindingRow[],
  kind: K,
  model: string,
  kv: string,
): Extract<FindingRow, { kind: K }> | undefined {
  return rows.findLast((row) => row.kind === kind && row.model === model && row.kv === kv) as
    | Extract<FindingRow, { kind: K }>
    | undefined;
}
