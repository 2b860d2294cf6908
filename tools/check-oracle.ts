/**
 * @file Compares our evaluation with every row of the checkpoints' oracle.json: `npx tsx tools/check-oracle.ts`.
 *
 * The oracle is another implementation. With its own random signs (oracle/signs.ts), PPL has to agree within 0.5 %, mean KLD
 * within 15 %, and the PPL of an exact cache within 0.1 %. Recall is only printed, because the prompts differ.
 * Usage: check-oracle [--models a,b] [--text FILE] [--threads N] [--needle N] [--out rows.jsonl] [--again]
 * Rows that passed according to the --out file are not measured again, unless --again is given. Checkpoints and the text are
 * looked for below TQ_SHARED or ../shared. The exit code is 1 when a row fails.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import "../src/node/install.ts";
import { LLM } from "../src/engine/llm.ts";
import { type EvalRow, evaluate } from "../src/eval/evaluate.ts";
import { readCommandLine } from "./command-line.ts";
import { judge, judgeExact, type OracleRow } from "./oracle/judge.ts";
import { type OracleRecord, readRecords, replaceRecords } from "./oracle/records.ts";
import { ORACLE_SEED, useOracleSigns } from "./oracle/signs.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SHARED = process.env["TQ_SHARED"] ?? resolve(ROOT, "../shared");

/** The spec of the published codec with the row's widths; 16 bits stand for f16. */
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

interface Options {
  readonly text: string;
  readonly threads?: number;
  readonly needle: number;
  readonly out?: string;
  readonly again: boolean;
}

function print({ spec, oracle, ppl, kld, row, verdict }: OracleRecord, needle: boolean): void {
  const figures = [
    spec.padEnd(30),
    `ppl ${ppl.toFixed(3)} (${oracle.ppl.toFixed(3)}) ${percent(ppl / oracle.ppl - 1)}`.padEnd(34),
    (kld === undefined
      ? ""
      : `kld ${kld.toFixed(5)} (${oracle.kld!.toFixed(5)}) ${percent(kld / oracle.kld! - 1)}`
    ).padEnd(34),
  ];
  if (needle) figures.push(`needle ${row?.needle?.toFixed(2) ?? "–"} (${oracle.needle.toFixed(2)})`);
  console.log(`${figures.join("  ")}  ${verdict}`);
}

/** Prints a line for each row. returns: the number of rows that fail */
async function checkModel(model: string, options: Options): Promise<number> {
  const directory = directoryOf(model);
  if (!directory) {
    console.log(`${model}: skipped, no such checkpoint with an oracle.json; set TQ_SHARED`);
    return 0;
  }
  const oracle = JSON.parse(readFileSync(join(directory, "oracle.json"), "utf8"));
  const [exact, ...rows] = oracle.rows as [OracleRow, ...OracleRow[]];
  const recorded = options.out && !options.again ? readRecords(options.out) : [];
  const passed = new Map(
    recorded.filter((r) => r.model === model && r.verdict === "pass").map((record) => [record.spec, record]),
  );
  const missing = passed.has("f32") ? rows.filter((row) => !passed.has(specOf(row))) : rows;
  if (missing.length === 0) {
    console.log(`\n${model}: all ${rows.length + 1} rows are recorded as passed; --again measures them anew`);
    return 0;
  }
  await using llm = await LLM.load(directory, {
    kv: "f32",
    ...(options.threads && { threads: options.threads }),
  });
  useOracleSigns(llm.config.headDim);
  const results = await evaluate(llm, {
    text: options.text,
    kv: missing.map((row) => `${specOf(row)},seed=${ORACLE_SEED}`),
    base: "f32",
    ctx: oracle.ctx,
    chunks: oracle.chunks,
    needle: options.needle,
    onProgress: ({ item, done, total }) =>
      process.stderr.isTTY && process.stderr.write(`\r${model} ${item} ${done}/${total} `),
  });
  const [first] = results as [EvalRow, ...EvalRow[]];
  const measured = new Map(
    missing.map((row, i): [string, OracleRecord] => {
      const { model: _, ...figures } = results[i]!;
      const { ppl, kldMean: kld } = figures;
      const verdict = judge(row, figures);
      return [specOf(row), { model, spec: specOf(row), oracle: row, ppl, kld, verdict, row: figures }];
    }),
  );
  const records: OracleRecord[] = [
    { model, spec: "f32", oracle: exact, ppl: first.pplBase, verdict: judgeExact(exact, first.pplBase) },
    ...rows.map((row) => passed.get(specOf(row)) ?? measured.get(specOf(row))!),
  ];
  console.log(`\n${model}: ${first.tokens} tokens, ${first.seconds.toFixed(0)} s, ${llm.ops.describe()}`);
  for (const record of records) print(record, options.needle > 0);
  if (options.out) await replaceRecords(options.out, model, records);
  return records.filter((record) => record.verdict === "FAIL").length;
}

const { values } = readCommandLine({
  options: {
    models: { type: "string", default: "qwen3-1m,qwen3-3m,qwen3-9m,mistral-9m" },
    text: { type: "string", default: join(SHARED, "data/text/treasure-island.txt") },
    threads: { type: "string" },
    needle: { type: "string", default: "0" },
    out: { type: "string" },
    again: { type: "boolean", default: false },
  },
});
if (!existsSync(values.text)) {
  console.log("check-oracle: skipped, the held-out text is not here; pass --text or set TQ_SHARED");
} else {
  let failures = 0;
  for (const model of values.models.split(",")) {
    failures += await checkModel(model, {
      text: readFileSync(values.text, "utf8"),
      needle: Number(values.needle),
      again: values.again,
      ...(values.threads && { threads: Number(values.threads) }),
      ...(values.out && { out: values.out }),
    });
  }
  console.log(failures ? `\n${failures} rows fail` : "\nno row fails");
  process.exitCode = failures ? 1 : 0;
}
