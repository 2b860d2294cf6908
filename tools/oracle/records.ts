/** @file Records of check-oracle: a file of JSON lines, one for each model and format. */
import { existsSync, readFileSync } from "node:fs";
import type { EvalRow } from "../../src/eval/evaluate.ts";
import { writeFileAtomically } from "../../src/node/write-file-atomically.ts";
import type { OracleRow, Verdict } from "./judge.ts";

export interface OracleRecord {
  readonly model: string;
  readonly spec: string;
  readonly oracle: OracleRow;
  readonly ppl: number;
  readonly kld?: number;
  readonly verdict: Verdict;
  /** All figures except the checkpoint's directory, which depends on the machine; absent for the exact cache. */
  readonly row?: Omit<EvalRow, "model">;
}

export function readRecords(file: string): OracleRecord[] {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as OracleRecord);
}

/** Replaces all records of a model. */
export async function replaceRecords(file: string, model: string, records: readonly OracleRecord[]): Promise<void> {
  const all = readRecords(file);
  const at = all.findIndex((record) => record.model === model);
  const kept = all.filter((record) => record.model !== model);
  kept.splice(at < 0 ? kept.length : at, 0, ...records);
  const lines = `${kept.map((record) => JSON.stringify(record)).join("\n")}\n`;
  await writeFileAtomically(file, new TextEncoder().encode(lines));
}
