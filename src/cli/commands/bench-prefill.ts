/** @file `turboquant bench prefill`: the cost of quantizing while a prompt is read, in time and in peak memory. */
import type { Command } from "commander";
import { Option } from "commander";
import { type PrefillPeak, peakOfPrefill } from "../../bench/prefill-peak.ts";
import { benchThroughput, type ThroughputRow } from "../../bench/throughput.ts";
import { formatBytes, significant } from "../../format-number.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { openBenchModel, throughputJson } from "../bench-model-flags.ts";
import { addBenchOutputOptions, BenchOutput, type BenchOutputFlags, left, right } from "../bench-output.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { formatPercent } from "../format.ts";
import { measureInChild } from "../measure-in-child.ts";
import { addBackendOptions, type BackendFlags, collectKv, DEFAULT_MODEL, wholeNumber } from "../options.ts";
import { ResidentMemory } from "../resident-memory.ts";

interface PrefillFlags extends BackendFlags, BenchOutputFlags {
  readonly model?: string;
  readonly shape?: string;
  readonly layers?: number;
  readonly promptTokens: number;
  readonly kv?: readonly string[];
  readonly repeats: number;
  readonly child?: boolean;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .summary("prefill into each format: time and peak memory")
    .description(
      "Time of a prefill into each KV format, alternating repeat by repeat, relative to the first; and, each format in a process " +
        "of its own, how much resident memory grows beyond the bytes of the cache.",
    )
    .option("-m, --model <ref>", `checkpoint (default: ${DEFAULT_MODEL})`)
    .option("--shape <name>", "random weights in a public shape instead")
    .option("--layers <n>", "keep only the first layers of a shape", wholeNumber(1))
    .option("-p, --prompt-tokens <n>", "tokens of the prompt", wholeNumber(1), 2048)
    .option("--kv <list>", "KV formats; the first is the one to compare with (default: f16,k4v4)", collectKv)
    .option("-t, --threads <n>", "threads (default: all processors)", wholeNumber(1))
    .option("-r, --repeats <n>", "samples of each", wholeNumber(1), 5)
    .addOption(new Option("--child", "measure one format's memory in this process").hideHelp());
  addBackendOptions(command);
  addBenchOutputOptions(command)
    .addHelpText(
      "after",
      "\nExamples:\n  $ turboquant bench prefill\n  $ turboquant bench prefill --shape qwen3-0.6b --weights q8 -p 4096 --kv f16,k4v4 -r 3",
    )
    .action((flags: PrefillFlags) => (flags.child ? measure(flags, context) : run(flags, context)));
}

async function measure(flags: PrefillFlags, context: CommandContext): Promise<void> {
  const progress = progressOf(context, flags);
  const model = await openBenchModel(flags, flags.kv!, flags.threads, context, progress.onEvent);
  try {
    const peak = await peakOfPrefill(model, {
      kv: flags.kv![0]!,
      tokens: flags.promptTokens,
      memory: new ResidentMemory(),
      signal: context.signal,
      onProgress: (what, done, total) => progress.update(what, done, total, `${done} of ${total} tokens`),
    });
    progress.clear();
    context.io.stdout.write(`${JSON.stringify(peak)}\n`);
  } finally {
    await model.dispose();
  }
}

async function run(flags: PrefillFlags, context: CommandContext): Promise<void> {
  const kv = flags.kv ?? ["f16", "k4v4"];
  for (const spec of kv) parseKvSpec(spec);
  const progress = progressOf(context, flags);
  const output = await BenchOutput.create(context, flags, [
    left("model"),
    left("kv"),
    left("test"),
    right("t/s"),
    right("median"),
    right("spread"),
    right("time ratio"),
    right("KV bytes"),
    right("peak growth"),
    right("beyond the cache"),
  ]);
  const rows: { row: ThroughputRow; json: object }[] = [];
  const model = await openBenchModel(flags, kv, flags.threads, context, progress.onEvent);
  try {
    const timed = benchThroughput(model, {
      prompts: [flags.promptTokens],
      generations: [],
      depths: [0],
      kv,
      repeats: flags.repeats,
      signal: context.signal,
      onProgress: (what, done, total) => progress.update(what, done, total),
    });
    for await (const row of timed) rows.push({ row, json: throughputJson(row, model, flags.threads, flags.weights) });
  } finally {
    progress.clear();
    await model.dispose();
  }
  for (const { row, json } of rows) {
    const peak = await measureInChild<PrefillPeak>(childArgv(flags, row.kv), context.signal);
    const timeRatio = rows[0]!.row.tokPerSec.median / row.tokPerSec.median;
    output.add(
      [
        model.name,
        row.kv,
        row.test,
        `${significant(row.tokPerSec.mean)} ± ${significant(row.tokPerSec.sd)}`,
        significant(row.tokPerSec.median),
        formatPercent(row.tokPerSec.spread),
        timeRatio.toFixed(3),
        formatBytes(peak.kvBytes),
        formatBytes(peak.peakGrowthBytes),
        formatBytes(peak.peakGrowthBytes - peak.kvBytes),
      ],
      { ...json, time_ratio: timeRatio, peak_growth_bytes: peak.peakGrowthBytes, storage_bytes: peak.storageBytes },
    );
  }
  output.end([`${model.ops.describe()}; time ratio: median time over that of ${kv[0]}`]);
}

function childArgv(flags: PrefillFlags, spec: string): string[] {
  const argv = ["bench", "prefill", "--child", "--kv", spec, "--prompt-tokens", `${flags.promptTokens}`];
  argv.push("--backend", flags.backend, "--weights", flags.weights);
  if (flags.shape !== undefined) argv.push("--shape", flags.shape);
  else argv.push("--model", flags.model ?? DEFAULT_MODEL);
  if (flags.layers !== undefined) argv.push("--layers", `${flags.layers}`);
  if (flags.threads !== undefined) argv.push("--threads", `${flags.threads}`);
  if (flags.quiet) argv.push("--quiet");
  return argv;
}
