/** @file Reads the rows of tools/record-findings.ts, and those of tools/check-oracle.ts, which measured the published codec. */
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

/** The fields of a row that the tables use. */
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
/** A result of `allocate` for a model; `kv` is the recipe that it was given. */
export interface AllocationFinding {
  readonly kind: "allocation";
  readonly model: string;
  readonly kv: string;
  /** Average code bits a value. */
  readonly bits: number;
  /** Mean KLD in nats by layer, when only this side of the layer is quantized, with two bits. */
  readonly alone: { readonly k: readonly number[]; readonly v: readonly number[] };
  readonly best: { readonly kv: string; readonly kldMean: number };
  readonly uniform: { readonly kv: string; readonly kldMean: number };
  readonly gain: Gain;
}
/** A row of tools/record-vectors.ts: Σ error² over Σ norm² by codec, in the order of that file. */
export interface VectorFinding {
  readonly kind: "vectors";
  readonly model: string;
  readonly layer: number;
  readonly side: "k" | "v";
  readonly tokens: number;
  readonly errors: readonly (readonly [codec: string, error: number])[];
}
/** A finding for one model and one format. */
export type FormatFinding = EvalFinding | AnswerFinding | CosineFinding | AllocationFinding;
export type FindingRow = FormatFinding | VectorFinding;

export const findingRows = (): FindingRow[] => linesOf<FindingRow>(OUT);

/** Rows of check-oracle.ts, which were measured on more text, with the spec in canonical form. */
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
