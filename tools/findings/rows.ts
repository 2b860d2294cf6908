/** @file Rows that tools/record-findings.ts has measured, and those of tools/check-oracle.ts, which measured the published codec. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Gain } from "../../src/eval/allocate.ts";
import type { LayerDiagnosis } from "../../src/eval/diagnose.ts";
import type { EvalRow } from "../../src/eval/evaluate.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { readRecords } from "../oracle/records.ts";

const RESULTS = new URL("../../bench/results/", import.meta.url);
export const OUT = fileURLToPath(new URL("findings.jsonl", RESULTS));
const ORACLE = fileURLToPath(new URL("oracle.jsonl", RESULTS));

/** What the tables use of a row. */
type Figures = Pick<EvalRow, "kv" | "tokens" | "ctx" | "pplRatio" | "pplRatioSe" | "kldMean" | "top1">;

export interface EvalFinding extends Figures {
  readonly kind: "eval";
  readonly model: string;
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
/** What `allocate` finds of a model; `kv` is the recipe it was asked with. */
export interface AllocationFinding {
  readonly kind: "allocation";
  readonly model: string;
  readonly kv: string;
  /** Code bits a value. */
  readonly bits: number;
  /** Mean KLD of one side of one layer alone at two bits, nats, by layer. */
  readonly alone: { readonly k: readonly number[]; readonly v: readonly number[] };
  readonly best: { readonly kv: string; readonly kldMean: number };
  readonly uniform: { readonly kv: string; readonly kldMean: number };
  readonly gain: Gain;
}
/** Of tools/record-vectors.ts: Σ error² over Σ norm² by codec, in its order. */
export interface VectorFinding {
  readonly kind: "vectors";
  readonly model: string;
  readonly layer: number;
  readonly side: "k" | "v";
  readonly tokens: number;
  readonly errors: readonly (readonly [codec: string, error: number])[];
}
/** Of a model and a format. */
export type FormatFinding = EvalFinding | AnswerFinding | CosineFinding | AllocationFinding;
export type FindingRow = FormatFinding | VectorFinding;

export const findingRows = (): FindingRow[] => linesOf<FindingRow>(OUT);

/** Of check-oracle.ts, on more text, under the spec's canonical text. */
export function oracleRows(): EvalFinding[] {
  return readRecords(ORACLE).flatMap(({ model, spec, row }) =>
    row ? [{ ...row, kind: "eval" as const, model, kv: parseKvSpec(spec).text }] : [],
  );
}

function linesOf<T>(file: string): T[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line) as T);
}

/** The last row of this kind for a model and a format. */
export function findRow<K extends FormatFinding["kind"]>(
  rows: readonly FindingRow[],
  kind: K,
  model: string,
  kv: string,
): Extract<FindingRow, { kind: K }> | undefined {
  return rows.findLast((row) => row.kind === kind && row.model === model && (row as FormatFinding).kv === kv) as
    | Extract<FindingRow, { kind: K }>
    | undefined;
}
