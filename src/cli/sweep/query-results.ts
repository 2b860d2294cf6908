/** @file Runs SQL over the rows of a sweep and writes Parquet files, with DuckDB where it is installed. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TurboQuantError } from "../../errors.ts";
import { flatRow } from "../../lab/results-table.ts";
import { latestRows, type SweepRow } from "../../lab/sweep-row.ts";

type DuckDB = typeof import("@duckdb/node-api");

async function loadDuckDB(what: string): Promise<DuckDB> {
  try {
    return await import("@duckdb/node-api");
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      `${what}: needs DuckDB, which is not installed; npm install @duckdb/node-api, or read results.tsv`,
      {},
      { cause },
    );
  }
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

export interface QueryResult {
  readonly columns: readonly string[];
  /** Values as in JSON. */
  readonly rows: readonly (readonly unknown[])[];
}

/**
 * Runs statements on a table `results`, which has one column for each figure and `p_NAME` for each parameter. Returns the
 * result of the last statement.
 * @throws TurboQuantError unsupported — no DuckDB; invalid_argument — the database refuses the statement
 */
export async function queryResults(rows: readonly SweepRow[], sql: string, what = "--sql"): Promise<QueryResult> {
  const { DuckDBInstance } = await loadDuckDB(what);
  if (rows.length === 0)
    throw new TurboQuantError("invalid_argument", `${what}: the store has no rows yet; run the sweep first`);
  const folder = mkdtempSync(join(tmpdir(), "turboquant-sql-"));
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  try {
    const file = join(folder, "rows.jsonl");
    writeFileSync(
      file,
      latestRows(rows)
        .map((row) => `${JSON.stringify(flatRow(row))}\n`)
        .join(""),
    );
    // All rows take part in type detection: a parameter may be a number in the first thousand rows and a name afterwards.
    await connection.run(
      `CREATE TABLE results AS SELECT * FROM read_json(${quoted(file)}, format = 'newline_delimited', sample_size = -1)`,
    );
    const reader = await connection.runAndReadAll(sql).catch((cause: Error) => {
      throw new TurboQuantError("invalid_argument", `${what}: ${cause.message}`, { sql }, { cause });
    });
    const columns = reader.columnNames();
    const json = reader.getRowsJson() as unknown[][];
    // DuckDB's JSON would turn its 64-bit integers, such as counts, into strings.
    const values = reader.getRowsJS();
    const answers = json.map((row, r) =>
      row.map((text, c) => {
        const value = values[r]![c];
        return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : text;
      }),
    );
    return { columns, rows: answers };
  } finally {
    connection.closeSync();
    instance.closeSync();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes the rows as a Parquet file. */
export async function writeParquet(rows: readonly SweepRow[], path: string): Promise<void> {
  await queryResults(rows, `COPY results TO ${quoted(path)} (FORMAT parquet)`, "--parquet");
}
