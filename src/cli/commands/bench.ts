/** @file `turboquant bench`: times prefill and decode of a whole model; subcommands are `attention`, `prefill`, `memory`, `load` and `speculation`. */
import { type Command, Option } from "commander";
import type { BenchModel } from "../../bench/bench-model.ts";
import { benchThroughput, type ThroughputRow } from "../../bench/throughput.ts";
import { TurboQuantError } from "../../errors.ts";
import { formatBytes, significant } from "../../format-number.ts";
import { shapeNames } from "../../models/shapes.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { openBenchModel, throughputJson } from "../bench-model-flags.ts";
import { addBenchOutputOptions, BenchOutput, type BenchOutputFlags, left, right } from "../bench-output.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { formatPercent } from "../format.ts";
import {
  addBackendOptions,
  type BackendFlags,
  collectKv,
  DEFAULT_MODEL,
  wholeNumber,
  wholeNumbers,
} from "../options.ts";
import { configure as configureAttention } from "./bench-attention.ts";
import { configure as configureLoad } from "./bench-load.ts";
import { configure as configureMemory } from "./bench-memory.ts";
import { configure as configurePrefill } from "./bench-prefill.ts";
import { configure as configureSpeculation } from "./bench-speculation.ts";

interface BenchFlags extends Omit<BackendFlags, "threads">, BenchOutputFlags {
  readonly model?: string;
  readonly shape?: string;
  readonly layers?: number;
  readonly promptTokens?: readonly number[];
  readonly genTokens?: readonly number[];
  readonly depth?: readonly number[];
  readonly kv?: readonly string[];
  readonly threads?: readonly number[];
  readonly fill: "prefill" | "random";
  readonly repeats: number;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Tokens a second of prefill (pp) and decode (tg) at given depths, in llama-bench's terms. Formats alternate repeat by " +
        "repeat, so that noise hits all of them. The depth is filled once a format and forked for every repeat.",
    )
    .enablePositionalOptions()
    .option("-m, --model <ref>", `checkpoint to time (default: ${DEFAULT_MODEL})`)
    .option("--shape <name>", `random weights in a public shape instead: ${shapeNames.join(", ")}`)
    .option("--layers <n>", "keep only the first layers of a shape", wholeNumber(1))
    .option(
      "-p, --prompt-tokens <list>",
      "prompt lengths to time, comma separated; 0 for none (default: 512)",
      wholeNumbers(0),
    )
    .option("-n, --gen-tokens <list>", "generation lengths to time; 0 for none (default: 128)", wholeNumbers(0))
    .option("-d, --depth <list>", "tokens in the cache before (default: 0)", wholeNumbers(0))
    .addOption(
      new Option("--fill <how>", "how tokens get into the cache before: through the model, or at random and quickly")
        .choices(["prefill", "random"])
        .default("prefill"),
    )
    .option("--kv <list>", "KV formats, comma separated or repeated (default: f16,k4v4)", collectKv)
    .option(
      "-t, --threads <list>",
      "threads; several are timed one after the other (default: all processors)",
      wholeNumbers(1),
    )
    .option("-r, --repeats <n>", "samples of each test", wholeNumber(1), 5);
  addBackendOptions(command);
  addBenchOutputOptions(command).addHelpText(
    "after",
    `
Examples:
  $ turboquant bench
  $ turboquant bench --shape qwen3-0.6b --weights q8 -p 0 -n 32 -d 0,4096 --kv f16,k4v4 -t 2
  $ turboquant bench attention --shape qwen3-0.6b -d 1024,4096,16384 --kv f16,k4v4 -t 1,2
  $ turboquant bench prefill --shape qwen3-0.6b --layers 4 -p 2048
  $ turboquant bench memory --shape qwen3-0.6b
  $ turboquant bench load -m model.gguf --weights auto,q8
  $ turboquant bench speculation --draft-model qwen3-1m`,
  );
  command.action((flags: BenchFlags) => run(flags, context));
  configureAttention(command.command("attention"), context);
  configurePrefill(command.command("prefill"), context);
  configureMemory(command.command("memory"), context);
  configureLoad(command.command("load"), context);
  configureSpeculation(command.command("speculation"), context);
}

async function run(flags: BenchFlags, context: CommandContext): Promise<void> {
  const kv = flags.kv ?? ["f16", "k4v4"];
  for (const spec of kv) parseKvSpec(spec);
  const prompts = (flags.promptTokens ?? [512]).filter((n) => n > 0);
  const generations = (flags.genTokens ?? [128]).filter((n) => n > 0);
  if (prompts.length + generations.length === 0) {
    throw new TurboQuantError(
      "invalid_argument",
      "bench: -p 0 and -n 0 leave nothing to time; give one of them a length",
    );
  }
  const progress = progressOf(context, flags);
  const output = await BenchOutput.create(context, flags, [
    left("model"),
    right("weights"),
    left("backend"),
    left("kv"),
    left("test"),
    right("t/s"),
    right("median"),
    right("spread"),
    right("KV bytes"),
  ]);
  for (const threads of flags.threads ?? [undefined]) {
    const model = await openBenchModel(flags, kv, threads, context, progress.onEvent);
    try {
      const rows = benchThroughput(model, {
        prompts,
        generations,
        depths: flags.depth ?? [0],
        kv,
        fill: flags.fill,
        repeats: flags.repeats,
        signal: context.signal,
        onProgress: (what, done, total) => progress.update(what, done, total),
      });
      for await (const row of rows) {
        progress.clear();
        output.add(cellsOf(row, model), throughputJson(row, model, threads, flags.weights));
      }
    } finally {
      progress.clear();
      await model.dispose();
    }
  }
  output.end();
}

function cellsOf({ test, kv, tokPerSec, kvBytes }: ThroughputRow, model: BenchModel): string[] {
  return [
    model.name,
    formatBytes(model.weightBytes),
    model.ops.describe(),
    kv,
    test,
    `${significant(tokPerSec.mean)} ± ${significant(tokPerSec.sd)}`,
    significant(tokPerSec.median),
    formatPercent(tokPerSec.spread),
    formatBytes(kvBytes),
  ];
}
