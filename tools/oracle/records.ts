/** @file What check-oracle has measured, kept in a file of JSON lines: one line a model and format, with its rotations. */
import { existsSync, readFileSync } from "node:fs";
import { writeFileAtomically } from "../../src/cli/write-file-atomically.ts";
import type { EvalRow } from "../../src/eval/evaluate.ts";
import type { OracleRow, Range, Verdict } from "./judge.ts";

export interface OracleRecord {
  readonly spec: string;
  readonly oracle: OracleRow;
  /** Of the first rotation. */
  readonly ppl: number;
  readonly kld?: number;
  readonly verdict: Verdict;
  /** Smallest and largest of all rotations, where there is more than one. */
  readonly pplRange?: Range;
  readonly kldRange?: Range;
  /** A rotation each, by seed; absent for the exact cache. */
  readonly rows?: readonly Rotated[];
}

/** Without the directory that a machine has the checkpoint in. */
type Rotated = Omit<EvalRow, "model">;
type Line = OracleRecord & { readonly model: string };

const seedOf = (row: Rotated): number => Number(/,seed=(\d+)$/.exec(row.kv)?.[1]);

export class OracleRecords {
  readonly #file: string | undefined;
  readonly #lines: Line[];
  /** By model and spec with its seed. */
  readonly #rotations = new Map<string, Rotated>();

  /** file: read if it exists, written after every measurement; absent: nothing is kept */
  constructor(file: string | undefined) {
    this.#file = file;
    const text = file && existsSync(file) ? readFileSync(file, "utf8") : "";
    this.#lines = text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Line);
    for (const { model, rows = [] } of this.#lines) this.addRotations(model, rows);
  }

  rotation(model: string, spec: string): Rotated | undefined {
    return this.#rotations.get(`${model} ${spec}`);
  }

  /** By seed. */
  rotationsOf(model: string, spec: string): Rotated[] {
    return [...this.#rotations]
      .filter(([key]) => key.startsWith(`${model} ${spec},seed=`))
      .map(([, row]) => row)
      .sort((a, b) => seedOf(a) - seedOf(b));
  }

  addRotations(model: string, rows: readonly (Rotated & { readonly model?: string })[]): void {
    for (const { model: _, ...row } of rows) this.#rotations.set(`${model} ${row.kv}`, row);
  }

  /** Puts a model's lines in the place of its old ones and writes the file. */
  async replace(model: string, lines: readonly OracleRecord[]): Promise<void> {
    const at = this.#lines.findIndex((line) => line.model === model);
    const kept = this.#lines.filter((line) => line.model !== model);
    kept.splice(at < 0 ? kept.length : at, 0, ...lines.map((line) => ({ model, ...line })));
    this.#lines.splice(0, this.#lines.length, ...kept);
    if (!this.#file) return;
    const text = `${kept.map((line) => JSON.stringify(line)).join("\n")}\n`;
    await writeFileAtomically(this.#file, new TextEncoder().encode(text));
  }
}
