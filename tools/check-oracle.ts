/**
 * @file Compares our evaluation with every row of the checkpoints' oracle.json: `npx tsx tools/check-oracle.ts`.
 *
 * The oracle is another implementation with other rotation signs, so a row passes when its PPL is within 0.5 % and its
 * mean KLD within 15 %; with an exact cache PPL must agree within 0.1 %. Recall is printed, not judged: the prompts differ.
 * Usage: check-oracle [--models a,b] [--text FILE] [--threads N] [--needle N] [--out rows.jsonl]
 * Checkpoints and text are looked for below TQ_SHARED or ../shared. Exit code 1 when a row fails.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import "../src/node/install.ts";
import { LLM } from "../src/engine/llm.ts";
import { type EvalRow, evaluate } from "../src/eval/evaluate.ts";

interface OracleRow {
  readonly k: number;
  readonly v: number;
  readonly window: number;
  readonly sinks: number;
  readonly ppl: number;
  readonly kld?: number;
  readonly kld_p99?: number;
  readonly top1?: number;
  readonly needle: number;
}

const LIMITS = { ppl: 0.005, kld: 0.15, exactPpl: 0.001 };
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

async function checkModel(model: string, text: string, options: { threads?: number; needle: number; out?: string }) {
  const directory = directoryOf(model);
  if (!directory) {
    console.log(`${model}: skipped, no such checkpoint below ${join("..", "shared", "models")}; set TQ_SHARED`);
    return 0;
  }
  const oracle = JSON.parse(readFileSync(join(directory, "oracle.json"), "utf8"));
  const [exact, ...rows] = oracle.rows as [OracleRow, ...OracleRow[]];
  await using llm = await LLM.load(directory, { kv: "f32", ...(options.threads && { threads: options.threads }) });
  const results = await evaluate(llm, {
    text,
    kv: rows.map(specOf),
    base: "f32",
    ctx: oracle.ctx,
    chunks: oracle.chunks,
    needle: options.needle,
    onProgress: ({ item, done, total }) =>
      process.stderr.isTTY && process.stderr.write(`\r${model} ${item} ${done}/${total} `),
  });
  let failures = 0;
  const report = (name: string, own: EvalRow, row: OracleRow, ok: boolean, kldError: number | null) => {
    const pplError = (row === exact ? own.pplBase : own.ppl) / row.ppl - 1;
    if (!ok) failures++;
    console.log(
      [
        model.padEnd(11),
        name.padEnd(27),
        (row === exact ? own.pplBase : own.ppl).toFixed(3).padStart(9),
        percent(pplError).padStart(8),
        kldError === null ? "".padStart(18) : own.kldMean.toFixed(5).padStart(9) + percent(kldError).padStart(9),
        kldError === null ? "" : `${percent(own.top1 - row.top1!)} top-1`,
        options.needle
          ? `needle ${(row === exact ? own.needleBase : own.needle)?.toFixed(2)} (${row.needle.toFixed(2)})`
          : "",
        ok ? "pass" : "FAIL",
      ].join("  "),
    );
    const line = { ...own, row: name, oracle: row, pplError, kldError, ok };
    if (options.out) appendFileSync(options.out, `${JSON.stringify(line)}\n`);
  };
  console.log(`\n${model}: ${results[0]!.tokens} tokens, ${results[0]!.seconds.toFixed(0)} s, ${llm.ops.describe()}`);
  const pplError = results[0]!.pplBase / exact.ppl - 1;
  report("f32 (exact)", results[0]!, exact, Math.abs(pplError) <= LIMITS.exactPpl, null);
  for (const [i, row] of rows.entries()) {
    const own = results[i]!;
    const kldError = own.kldMean / row.kld! - 1;
    report(
      own.kv,
      own,
      row,
      Math.abs(own.ppl / row.ppl - 1) <= LIMITS.ppl && Math.abs(kldError) <= LIMITS.kld,
      kldError,
    );
  }
  return failures;
}

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "qwen3-1m,qwen3-3m,qwen3-9m,mistral-9m" },
    text: { type: "string", default: join(SHARED, "data/text/treasure-island.txt") },
    threads: { type: "string" },
    needle: { type: "string", default: "0" },
    out: { type: "string" },
  },
});
if (!existsSync(values.text)) {
  console.log("check-oracle: skipped, the held-out text is not here; pass --text or set TQ_SHARED");
} else {
  if (values.out) writeFileSync(values.out, "");
  let failures = 0;
  for (const model of values.models.split(",")) {
    failures += await checkModel(model, readFileSync(values.text, "utf8"), {
      needle: Number(values.needle),
      ...(values.threads && { threads: Number(values.threads) }),
      ...(values.out && { out: values.out }),
    });
  }
  console.log(failures ? `\n${failures} rows fail` : "\nevery row agrees");
  process.exitCode = failures ? 1 : 0;
}
