/** @file `turboquant bench speculation`: answers with and without drafts, side by side, and how many drafts were right. */
import type { Command } from "commander";
import { benchSpeculation } from "../../bench/speculation.ts";
import { significant } from "../../format-number.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { addBenchOutputOptions, BenchOutput, type BenchOutputFlags, left, right } from "../bench-output.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { formatPercent } from "../format.ts";
import { loadModel } from "../load-model.ts";
import {
  addBackendOptions,
  type BackendFlags,
  backendOptionsOf,
  collectKv,
  DEFAULT_MODEL,
  wholeNumber,
} from "../options.ts";

interface SpeculationBenchFlags extends BenchOutputFlags, BackendFlags {
  readonly model: string;
  readonly draftModel?: string;
  readonly draftMax?: number;
  readonly kv?: readonly string[];
  readonly genTokens: number;
  readonly parallel: number;
  readonly repeats: number;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .summary("answers with and without drafts")
    .description(
      "Times greedy answers to three prompts without drafts, by prompt lookup, by a draft model if one is named, and with the best and " +
        "the worst drafts there can be: the answer itself, and none of it. All alternate repeat by repeat.",
    )
    .option("-m, --model <ref>", "checkpoint to time", DEFAULT_MODEL)
    .option("--draft-model <ref>", "-md: a smaller model with the same vocabulary")
    .option("--draft-max <n>", "most drafted tokens of a step (default: 8; of a draft model 4)", wholeNumber(1, 64))
    .option("--kv <list>", "KV formats, comma separated or repeated (default: k4v4)", collectKv)
    .option("-n, --gen-tokens <n>", "tokens of an answer", wholeNumber(2), 128)
    .option("--parallel <n>", "-np: sequences computed together", wholeNumber(1, 1024), 1)
    .option("-t, --threads <n>", "threads (default: all processors)", wholeNumber(1))
    .option("-r, --repeats <n>", "samples of each test", wholeNumber(1), 5);
  addBackendOptions(command);
  addBenchOutputOptions(command)
    .addHelpText(
      "after",
      "\nExamples:\n  $ turboquant bench speculation\n  $ turboquant bench speculation -m qwen3-3m --draft-model qwen3-1m --kv f16,k4v4 -t 1",
    )
    .action((flags: SpeculationBenchFlags) => run(flags, context));
}

async function run(flags: SpeculationBenchFlags, context: CommandContext): Promise<void> {
  const kv = flags.kv ?? ["k4v4"];
  for (const spec of kv) parseKvSpec(spec);
  const progress = progressOf(context, flags);
  const output = await BenchOutput.create(context, flags, [
    left("kv"),
    left("answer"),
    left("drafts"),
    right("t/s"),
    right("spread"),
    right("times off"),
    right("right"),
    right("tokens a step"),
  ]);
  const quiet = flags.quiet === true;
  const load = backendOptionsOf(flags);
  await using llm = await loadModel({ model: flags.model, quiet }, context, progress, { ...load, kv: kv[0]! });
  const { draftModel } = flags;
  const draft =
    draftModel === undefined ? undefined : await loadModel({ model: draftModel, quiet }, context, progress, load);
  try {
    for (const spec of kv) {
      const view = await llm.withKv(spec);
      try {
        const rows = benchSpeculation(view, {
          generation: flags.genTokens,
          parallel: flags.parallel,
          repeats: flags.repeats,
          draftMax: flags.draftMax,
          draftModel: draft,
          signal: context.signal,
          onProgress: (what, done, total) => progress.update(what, done, total),
        });
        for await (const row of rows) {
          progress.clear();
          const { drafts, text, tokPerSec, ratio, draftedTokens, acceptedTokens, tokensPerStep, samplesMs } = row;
          output.add(
            [
              spec,
              text,
              drafts,
              significant(tokPerSec.median),
              formatPercent(tokPerSec.spread),
              ratio.median.toFixed(2),
              draftedTokens > 0 ? formatPercent(acceptedTokens / draftedTokens) : "–",
              tokensPerStep.toFixed(2),
            ],
            {
              test: "speculation",
              backend: llm.ops.describe(),
              model_type: llm.name,
              draft_model: drafts.startsWith("model ") ? (draft?.name ?? null) : null,
              n_threads: flags.threads ?? null,
              kv: spec,
              text,
              drafts,
              n_gen: flags.genTokens,
              n_parallel: flags.parallel,
              median_ts: tokPerSec.median,
              spread: tokPerSec.spread,
              ratio_to_off: ratio.median,
              draft_n: draftedTokens,
              draft_n_accepted: acceptedTokens,
              tokens_per_step: tokensPerStep,
              samples_ns: samplesMs.map((ms) => Math.round(ms * 1e6)),
            },
          );
        }
      } finally {
        await view.dispose();
      }
    }
  } finally {
    progress.clear();
    await draft?.dispose();
  }
  output.end();
}
