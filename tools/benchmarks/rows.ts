/** @file Reads recorded rows, formats figures and tables, and judges targets. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export type Row = Record<string, number | string | null> & { samples_ms_per_1k?: number[] };

export function rows(name: string): Row[] {
  const file = `${root}bench/results/${name}.jsonl`;
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Row);
}

/** The name that rows of a preset go by: its own, or the one of what presets meant while their window had 16 bits. */
export const recordedAs = (all: readonly Row[], preset: string): string =>
  all.some((row) => row["kv"] === preset) ? preset : `${preset},window=16bit`;

export const num = (row: Row | undefined, field: string): number => Number(row?.[field] ?? Number.NaN);
export const fixed = (x: number, digits: number): string => (Number.isFinite(x) ? x.toFixed(digits) : "–");
export const times = (x: number): string => `${fixed(x, 2)}×`;
export const median = (list: readonly number[]): number => {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.length ? (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2 : Number.NaN;
};

export function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...body.map(line)].join("\n");
}

interface Target {
  readonly what: string;
  readonly value: number;
  readonly limit: number;
  readonly atMost: boolean;
  readonly digits: number;
  readonly unit: string;
}
const targets: Target[] = [];
export const target = (what: string, value: number, rule: "≤" | "≥", limit: number, unit: string, digits = 2): void => {
  targets.push({ what, value, limit, atMost: rule === "≤", digits, unit });
};

/** All targets judged so far as [what, target, measured, verdict]. */
export function judgedTargets(): string[][] {
  return targets.map((t) => {
    const met = t.atMost ? t.value <= t.limit : t.value >= t.limit;
    const verdict = Number.isFinite(t.value) ? (met ? "met" : "**missed**") : "not recorded";
    return [t.what, `${t.atMost ? "≤" : "≥"} ${t.limit} ${t.unit}`, `${fixed(t.value, t.digits)} ${t.unit}`, verdict];
  });
}
