/** @file `turboquant bench attention`: times decode attention of one layer. */
import type { Command } from "commander";
import { type AttentionRow, benchAttention } from "../../bench/attention.ts";
import { formatBytes } from "../../format-number.ts";
import { shapeConfig, shapeNames } from "../../models/shapes.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { addBenchOutputOptions, BenchOutput, type BenchOutputFlags, left, right } from "../bench-output.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { formatPercent } from "../format.ts";
import { type BackendFlags, collectKv, wholeNumber, wholeNumbers } from "../options.ts";

interface AttentionFlags extends BenchOutputFlags {
  readonly shape: string;
  readonly depth?: readonly number[];
  readonly kv?: readonly string[];
  readonly threads?: readonly number[];
  readonly repeats: number;
  readonly backend: BackendFlags["backend"];
}

export function configure(command: Command, context: CommandContext): void {
  command
    .summary("decode attention of one layer")
    .description(
      "Milliseconds of one layer's attention for one token, a 1,024 tokens of context. Every sample goes through sequences with " +
        "pages of their own, together larger than the processor's caches; formats alternate sample by sample.",
    )
    .option("--shape <name>", `heads and head_dim of: ${shapeNames.join(", ")}`, "qwen3-0.6b")
    .option("-d, --depth <list>", "tokens in the cache, comma separated (default: 1024,4096,16384)", wholeNumbers(1))
    .option("--kv <list>", "KV formats, comma separated or repeated (default: f16,k4v4)", collectKv)
    .option("-t, --threads <list>", "threads (default: all processors)", wholeNumbers(1))
    .option("-r, --repeats <n>", "samples of each", wholeNumber(1), 9)
    .option("--backend <name>", "what computes", "auto");
  addBenchOutputOptions(command)
    .addHelpText(
      "after",
      "\nExamples:\n  $ turboquant bench attention --shape qwen3-0.6b -d 1024,4096,16384 --kv f16,k4v4,k8v4,k5v4,k3v3 -t 1,2",
    )
    .action((flags: AttentionFlags) => run(flags, context));
}

async function run(flags: AttentionFlags, context: CommandContext): Promise<void> {
  const kv = flags.kv ?? ["f16", "k4v4"];
  for (const spec of kv) parseKvSpec(spec);
  const config = shapeConfig(flags.shape);
  const progress = progressOf(context, flags);
  const output = await BenchOutput.create(context, flags, [
    right("depth"),
    right("threads"),
    left("kv"),
    right("ms per 1K"),
    right("best"),
    right("spread"),
    right("ratio to f16"),
    right("KV bytes"),
  ]);
  const rows = benchAttention({
    config,
    backend: flags.backend,
    threads: flags.threads ?? [undefined],
    depths: flags.depth ?? [1024, 4096, 16384],
    kv,
    repeats: flags.repeats,
    signal: context.signal,
    onProgress: (what, done, total) => progress.update(what, done, total),
  });
  let backend = "";
  for await (const row of rows) {
    progress.clear();
    backend = row.backend;
    output.add(cellsOf(row), jsonOf(row, flags.shape));
  }
  output.end([
    `${flags.shape}: ${config.numHeads} query heads, ${config.numKvHeads} KV heads × ${config.headDim}; ${backend}`,
  ]);
}

function cellsOf({ depth, threads, kv, msPer1k, ratioToF16, kvBytes }: AttentionRow): string[] {
  return [
    `${depth}`,
    `${threads ?? "all"}`,
    kv,
    msPer1k.median.toFixed(3),
    msPer1k.min.toFixed(3),
    formatPercent(msPer1k.spread),
    ratioToF16 === null ? "–" : ratioToF16.toFixed(2),
    formatBytes(kvBytes),
  ];
}

function jsonOf(row: AttentionRow, shape: string) {
  return {
    test: "attention",
    shape,
    backend: row.backend,
    n_threads: row.threads,
    n_depth: row.depth,
    kv: row.kv,
    ms_per_1k_median: row.msPer1k.median,
    ms_per_1k_min: row.msPer1k.min,
    ms_per_1k_mean: row.msPer1k.mean,
    spread: row.msPer1k.spread,
    ratio_to_f16: row.ratioToF16,
    samples_ms_per_1k: row.samplesMsPer1k,
    sequences: row.sequences,
    kv_bytes: row.kvBytes,
  };
}
