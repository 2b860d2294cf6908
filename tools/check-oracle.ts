/**
 * @file Compares our evaluation with every row of the checkpoints' oracle.json: `npx tsx tools/check-oracle.ts`.
 *
 * PPL has to agree within 0.5 %, mean KLD within 15 %, PPL of an exact cache within 0.1 %; what becomes of a row outside is
 * told in oracle/judge.ts. Such a row is measured again with other rotations (`--seeds`). Recall is printed, not judged:
 * the prompts differ.
 * Usage: check-oracle [--models a,b] [--text FILE] [--threads N] [--seeds N] [--needle N] [--out rows.jsonl]
 * Rotations that the --out file already holds are not measured again, so that a run can be broken off.
 * Checkpoints and text are looked for below TQ_SHARED or ../shared. Exit code 1 when a row fails.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import "../src/node/install.ts";
import { LLM } from "../src/engine/llm.ts";
import { type EvalRow, evaluate } from "../src/eval/evaluate.ts";
import { judge, judgeExact, type OracleRow, type Range, rangeOf, type Verdict } from "./oracle/judge.ts";
import { type OracleRecord, OracleRecords } from "./oracle/records.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SHARED = process.env["TQ_SHARED"] ?? resolve(ROOT, "../shared");

/** The published codec at the row's widths; 16 bits is an f16 side. */
function specOf({ k, v, window, sinks }: OracleRow): string {
  const parts = [`paper-${Math.min(k, v)}`];
  if (k !== v)
    parts.push(
      ...[["k", k] as const, ["v", v] as const].map(([side, bits]) => `${side}=${bits === 16 ? "f16" : `tq${bits}`}`),
    );
  if (window) parts.push(`window=${window}`);
  if (sinks) parts.push(`sinks=${sinks}`);
  return parts.join(",");
}

function directoryOf(model: string): string | undefined {
  return [join(ROOT, "models", model), join(SHARED, "models", model)].find((path) =>
    existsSync(join(path, "oracle.json")),
  );
}

const percent = (value: number): string => `${value >= 0 ? "+" : ""}${(100 * value).toFixed(2)}%`;
const span = ([low, high]: Range, digits: number): string => `${low.toFixed(digits)} … ${high.toFixed(digits)}`;

interface Options {
  readonly text: string;
  readonly threads?: number;
  readonly needle: number;
  readonly seeds: number;
}

/** The figures of one row over its rotations; those that are judged come first. */
function describe(spec: string, oracle: OracleRow, rows: readonly [EvalRow, ...EvalRow[]]): OracleRecord {
  const [first] = rows;
  return {
    spec,
    oracle,
    ppl: first.ppl,
    kld: first.kldMean,
    verdict: judge(oracle, rows),
    ...(rows.length > 1 && {
      pplRange: rangeOf(rows.map((row) => row.ppl)),
      kldRange: rangeOf(rows.map((row) => row.kldMean)),
    }),
    rows,
  };
}

function print({ spec, oracle, ppl, kld, pplRange, kldRange, rows, verdict }: OracleRecord, needle: boolean): void {
  const figures = [
    spec.padEnd(30),
    `ppl ${ppl.toFixed(3)} (${oracle.ppl.toFixed(3)}) ${percent(ppl / oracle.ppl - 1)}`.padEnd(34),
    kld === undefined ? "" : `kld ${kld.toFixed(5)} (${oracle.kld!.toFixed(5)}) ${percent(kld / oracle.kld! - 1)}`,
  ];
  if (needle) figures.push(`needle ${rows?.[0]?.needle?.toFixed(2) ?? "–"} (${oracle.needle.toFixed(2)})`);
  console.log(`${figures.join("  ")}  ${verdict}`);
  if (pplRange && kldRange)
    console.log(`  ${rows!.length} rotations: ppl ${span(pplRange, 3)}, kld ${span(kldRange, 5)}`);
}

/** Measures what is missing and prints a line a row. returns: rows that fail */
async function checkModel(model: string, records: OracleRecords, options: Options): Promise<number> {
  const directory = directoryOf(model);
  if (!directory) {
    console.log(`${model}: skipped, no such checkpoint with an oracle.json; set TQ_SHARED`);
    return 0;
  }
  const oracle = JSON.parse(readFileSync(join(directory, "oracle.json"), "utf8"));
  const [exact, ...rows] = oracle.rows as [OracleRow, ...OracleRow[]];
  await using llm = await LLM.load(directory, {
    kv: "f32",
    ...(options.threads && { threads: options.threads }),
  });
  console.log(`\n${model}: ${oracle.ctx * oracle.chunks} tokens, ${llm.ops.describe()}`);
  const measure = async (specs: readonly string[]): Promise<void> => {
    const missing = specs.filter((spec) => !records.rotation(model, spec));
    if (missing.length === 0) return;
    const results = await evaluate(llm, {
      text: options.text,
      kv: missing,
      base: "f32",
      ctx: oracle.ctx,
      chunks: oracle.chunks,
      needle: options.needle,
      onProgress: ({ item, done, total }) =>
        process.stderr.isTTY && process.stderr.write(`\r${model} ${item} ${done}/${total} `),
    });
    records.addRotations(model, results);
  };
  const rotationsOf = (row: OracleRow): [EvalRow, ...EvalRow[]] =>
    records.rotationsOf(model, specOf(row)) as [EvalRow, ...EvalRow[]];

  const lines = (): OracleRecord[] => {
    const ppl = rotationsOf(rows[0]!)[0].pplBase;
    return [
      { spec: "f32", oracle: exact, ppl, verdict: judgeExact(exact, ppl) },
      ...rows.map((row) => describe(specOf(row), row, rotationsOf(row))),
    ];
  };
  const measureAndSave = async (specs: readonly string[]): Promise<void> => {
    await measure(specs);
    await records.replace(model, lines());
  };

  await measureAndSave(rows.map((row) => `${specOf(row)},seed=0`));
  for (const row of rows.filter((row) => judge(row, [rotationsOf(row)[0]]) === "FAIL")) {
    await measureAndSave(Array.from({ length: options.seeds - 1 }, (_, i) => `${specOf(row)},seed=${i + 1}`));
  }
  const result = lines();
  for (const line of result) print(line, options.needle > 0);
  return result.filter((line): boolean => line.verdict === ("FAIL" satisfies Verdict)).length;
}

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "qwen3-1m,qwen3-3m,qwen3-9m,mistral-9m" },
    text: { type: "string", default: join(SHARED, "data/text/treasure-island.txt") },
    threads: { type: "string" },
    seeds: { type: "string", default: "8" },
    needle: { type: "string", default: "0" },
    out: { type: "string" },
  },
});
if (!existsSync(values.text)) {
  console.log("check-oracle: skipped, the held-out text is not here; pass --text or set TQ_SHARED");
} else {
  const records = new OracleRecords(values.out);
  let failures = 0;
  for (const model of values.models.split(",")) {
    failures += await checkModel(model, records, {
      text: readFileSync(values.text, "utf8"),
      needle: Number(values.needle),
      seeds: Number(values.seeds),
      ...(values.threads && { threads: Number(values.threads) }),
    });
  }
  console.log(failures ? `\n${failures} rows fail` : "\nno row fails");
  process.exitCode = failures ? 1 : 0;
}
