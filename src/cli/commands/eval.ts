/** @file `turboquant eval`: what KV formats cost in quality, on a text. */
import { appendFile, readFile } from "node:fs/promises";
import type { Command } from "commander";
import { DEFAULT_KV, LLM } from "../../engine/llm.ts";
import { TurboQuantError } from "../../errors.ts";
import { type EvalRow, evaluate } from "../../eval/evaluate.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { buildCommit } from "../build-info.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { explain } from "../explain.ts";
import { formatBytes, formatPercent, markdownTable, significant } from "../format.ts";
import {
  addBackendOptions,
  addModelOption,
  addOutputOptions,
  addThreadsOption,
  type BackendFlags,
  collectKv,
  type OutputFlags,
  wholeNumber,
} from "../options.ts";

interface EvalFlags extends BackendFlags, OutputFlags {
  readonly model: string;
  readonly text?: string;
  readonly ctx: number;
  readonly chunks: number;
  readonly kv?: readonly string[];
  readonly base: string;
  readonly needle: number;
  readonly out?: string;
}

export function configure(command: Command, context: CommandContext): void {
  command.description(
    "Feeds a text to the model, teacher forced, through KV formats and through an uncompressed cache of the same weights. " +
      "Every key and value is quantized before anything reads it. Divergences (KLD) are in nats, over all positions.",
  );
  addModelOption(command)
    .option("--text <file>", "text to evaluate on (required)")
    .option("-c, --ctx <tokens>", "tokens of a chunk; each starts from an empty cache", wholeNumber(2), 2048)
    .option("--chunks <n>", "chunks, from the beginning of the text", wholeNumber(1), 6)
    .option(
      "--kv <spec>",
      `KV format; may be repeated, all share one run of the base (default: ${DEFAULT_KV})`,
      collectKv,
    )
    .option("--base <spec>", "format to compare with: f16 or f32", "f16")
    .option("--needle <n>", "recall prompts: a five-digit code said once in about 1,400 tokens", wholeNumber(0), 0)
    .option("--out <file>", "also append a JSON line a format to this file");
  addBackendOptions(command);
  addThreadsOption(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `
With --json and one format the object has ppl, pplBase, pplRatio, kldMean, kldMedian, kldP99, kldP999, kldMax, top1,
needle, needleBase, bitsPerValue, kvBytes, kvBytesBase, tokens and the settings; with several, "rows" has one of these each.

Examples:
  $ turboquant eval --text novel.txt --kv k4v4
  $ turboquant eval --text novel.txt --kv paper-4 --kv k4v4,sinks=0,window=0 --needle 60
  $ turboquant eval --model ./Qwen3-0.6B --text novel.txt --ctx 4096 --chunks 2 --kv k5v4 --json`,
    )
    .action((flags: EvalFlags) => run(flags, context));
}

async function run(flags: EvalFlags, context: CommandContext): Promise<void> {
  const { io, signal } = context;
  const kv = flags.kv ?? [DEFAULT_KV];
  // A typo is said before the model is loaded.
  for (const spec of [flags.base, ...kv]) parseKvSpec(spec);
  const text = await readTextFile(flags.text);
  const progress = progressOf(context, flags);
  await using llm = await LLM.load(flags.model, {
    kv: flags.base,
    backend: flags.backend,
    weights: flags.weights,
    ...(flags.threads !== undefined && { threads: flags.threads }),
    onProgress: progress.onEvent,
    signal,
  });
  progress.clear();
  if (flags.explain) explain(llm, io.stderr);
  const { ctx, chunks, base, needle } = flags;
  const rows = await evaluate(llm, { text, kv, base, ctx, chunks, needle, signal, onProgress: progress.onEvent });
  progress.clear();
  const got = rows[0]!.chunks;
  if (got < chunks && !flags.quiet) {
    io.stderr.write(`note: the text has only ${got} of ${chunks} chunks of ${ctx} tokens\n`);
  }
  if (flags.out !== undefined)
    await appendRows(flags.out, rows, { backend: llm.ops.describe(), weights: flags.weights });
  if (flags.json) io.stdout.write(`${JSON.stringify(rows.length === 1 ? rows[0] : { rows })}\n`);
  else io.stdout.write(table(rows));
}

async function readTextFile(path: string | undefined): Promise<string> {
  if (path === undefined) {
    throw new TurboQuantError(
      "invalid_argument",
      "eval: --text is missing; pass a plain text file the model has not been trained on",
    );
  }
  return await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new TurboQuantError(
      "invalid_argument",
      `--text ${path}: cannot be read (${cause.code}); check the path`,
      {},
      { cause },
    );
  });
}

async function appendRows(path: string, rows: readonly EvalRow[], settings: object): Promise<void> {
  const commit = await buildCommit();
  const lines = rows.map(
    (row) => `${JSON.stringify({ ...row, ...settings, commit, date: new Date().toISOString() })}\n`,
  );
  await appendFile(path, lines.join(""));
}

function table(rows: readonly EvalRow[]): string {
  const [first] = rows as [EvalRow, ...EvalRow[]];
  const hasNeedle = first.needle !== null;
  const head = ["kv", "bits/value", "KV bytes", "PPL", "PPL ratio", "KLD mean", "median", "p99", "p99.9", "top-1"];
  const columns = [...head, ...(hasNeedle ? ["needle"] : [])].map((title, i) => ({
    title,
    align: i === 0 ? ("left" as const) : ("right" as const),
  }));
  const base = [
    first.base,
    "",
    formatBytes(first.kvBytesBase),
    significant(first.pplBase),
    "1",
    "0",
    "0",
    "0",
    "0",
    "100 %",
  ];
  const body = rows.map((row) => [
    row.kv,
    row.bitsPerValue.toFixed(2),
    formatBytes(row.kvBytes),
    row.ppl.toFixed(3),
    `${row.pplRatio.toFixed(4)} ± ${row.pplRatioSe.toFixed(4)}`,
    significant(row.kldMean),
    significant(row.kldMedian),
    significant(row.kldP99),
    significant(row.kldP999),
    formatPercent(row.top1),
    ...(hasNeedle ? [formatPercent(row.needle!, 0)] : []),
  ]);
  base[3] = first.pplBase.toFixed(3);
  if (hasNeedle) base.push(formatPercent(first.needleBase!, 0));
  return (
    markdownTable(columns, [base, ...body]) +
    `\n${first.model}: ${first.chunks} × ${first.ctx} tokens in ${significant(first.seconds)} s\n`
  );
}
