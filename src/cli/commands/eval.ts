/** @file `turboquant eval`: measures on a text what KV formats cost in quality. */
import { appendFile } from "node:fs/promises";
import type { Command } from "commander";
import { canKeep } from "../../backends/capabilities.ts";
import type { LLM } from "../../engine/llm.ts";
import { DEFAULT_KV } from "../../engine/load-options.ts";
import { TurboQuantError } from "../../errors.ts";
import { checkEvaluation, type EvalRow, evaluate } from "../../eval/evaluate.ts";
import { checkCalibrations, decodersFor } from "../../eval/format-decoders.ts";
import { GREEDY_PROMPT_TOKENS } from "../../eval/greedy.ts";
import { ladderOf, type Rung } from "../../eval/ladder.ts";
import type { NeedleGrid } from "../../eval/needle-grid.ts";
import { hasKv, requireKv } from "../../eval/require-kv.ts";
import { TASK_NAMES } from "../../eval/tasks.ts";
import type { RunLimit } from "../../eval/time-limit.ts";
import { formatCount } from "../../format-number.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { buildCommit } from "../build-info.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { checkLengths } from "../eval/check-lengths.ts";
import { entryStore } from "../eval/entry-store.ts";
import { detailTables } from "../eval/print-details.ts";
import { evalFooter, evalTable } from "../eval/print-rows.ts";
import { addLimitOptions, type LimitFlags, limitOf } from "../eval/run-limit.ts";
import { addTextOptions, readTextFile, type TextFlags, textOrOwn } from "../eval/text-input.ts";
import { tableWidth } from "../format.ts";
import { loadModel } from "../load-model.ts";
import {
  addBackendOptions,
  addModelOption,
  addOutputOptions,
  addThreadsOption,
  type BackendFlags,
  backendOptionsOf,
  baseOption,
  calibrationOption,
  collectKv,
  type OutputFlags,
  wholeNumber,
  wholeNumbers,
} from "../options.ts";
import { checkOutputFile, writeOutput } from "../output-file.ts";
import { addOwnRopeOptions, type RopeFlags, ropeOptionOf } from "../rope-flags.ts";

interface EvalFlags extends BackendFlags, OutputFlags, LimitFlags, RopeFlags, Omit<TextFlags, "quiet"> {
  readonly model: string;
  readonly ctx: number;
  readonly chunks: number;
  readonly kv?: readonly string[];
  readonly base: string;
  readonly needle: number;
  readonly needleLengths?: readonly number[];
  readonly needleDepths: readonly number[];
  readonly needlePrompts: number;
  readonly greedy: number;
  readonly greedyTokens: number;
  readonly tasks: number;
  readonly tasksLengths: readonly number[];
  readonly ladder?: boolean;
  readonly diagnose?: boolean;
  readonly out?: string;
}

export function configure(command: Command, context: CommandContext): void {
  command.description(
    "Feeds a text to the model, teacher forced, through KV formats and through an uncompressed cache of the same weights. " +
      "Every key and value is quantized before anything reads it, in blocks of at most 128 tokens, and a probe checks that " +
      "attention read the packed codes. Divergences (KLD) are in nats, over all positions. docs/evaluation.md explains the figures.",
  );
  addTextOptions(addModelOption(command))
    .option("-c, --ctx <tokens>", "tokens of a chunk; each starts from an empty cache", wholeNumber(2), 2048)
    .option("--chunks <n>", "chunks, from the beginning of the text", wholeNumber(1), 6)
    .option(
      "--kv <spec>",
      `KV format; may be repeated, all share one run of the base (default: ${DEFAULT_KV})`,
      collectKv,
    )
    .addOption(baseOption())
    .option("--ladder", "also K only, V only, and every lever of the format off (or on), one at a time")
    .option("--needle <n>", "recall prompts: a five-digit code said once in about 1,400 tokens", wholeNumber(0), 0)
    .option("--needle-lengths <list>", "recall over lengths and depths: prompt lengths in tokens", wholeNumbers(1))
    .option(
      "--needle-depths <list>",
      "depths of the codes in percent, at most 8",
      wholeNumbers(0),
      [0, 25, 50, 75, 100],
    )
    .option("--needle-prompts <n>", "prompts of each length; every one is asked for each depth", wholeNumber(1), 10)
    .option(
      "--greedy <n>",
      "greedy continuations of pieces of the text; 200 or more tell formats apart",
      wholeNumber(0),
      0,
    )
    .option("--greedy-tokens <n>", "tokens of a continuation", wholeNumber(1), 64)
    .option(
      "--tasks <n>",
      "prompts that are asked for tasks that need memory of the context: hops, copies of code and tables, counting, the last of several",
      wholeNumber(0),
      0,
    )
    .option("--tasks-lengths <list>", "their lengths in tokens", wholeNumbers(1), [1024])
    .option("--diagnose", "noise of every layer's logits beside the law that predicts it, and cosines")
    .option("--out <file>", "also append a JSON line a format to this file");
  addLimitOptions(command);
  addBackendOptions(command);
  addThreadsOption(command);
  addOwnRopeOptions(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `
With --json and one format the object has ppl, pplBase, pplRatio, kldMean, kldMedian, kldP99, kldP999, kldMax, top1,
needle, needleBase, bitsPerValue, kvBytes, kvBytesBase, tokens and the settings, with rope options the rope; with several, "rows" has one of these each.
Ends of 95 % intervals are top1Low, top1High, needleLow, needleHigh.

Examples:
  $ turboquant eval
  $ turboquant eval --text novel.txt --kv paper-4 --kv k4v4,sinks=0,window=0 --needle 60
  $ turboquant eval --text novel.txt --kv k3v3 --ladder
  $ turboquant eval --text novel.txt --kv k4v4,k3v3,k2v2 --greedy 200 --needle-lengths 512,1024,2048
  $ turboquant eval --text novel.txt --kv k4v4,k2v2 --tasks 20 --tasks-lengths 1024,4096 --time 10m
  $ turboquant eval --text novel.txt --rope-scaling yarn --ctx 16384 --chunks 1 --needle-lengths 4096,16384 --kv k4v4,k2v2
  $ turboquant eval --model ./Qwen3-0.6B --text novel.txt --ctx 4096 --chunks 2 --kv k5v4 --diagnose --json`,
    )
    .action((flags: EvalFlags, own: Command) => {
      refuseAlone(own);
      return run(flags, context);
    });
}

/** Options that only say how another one is done, by the name of that one. */
const DETAILS = {
  needleLengths: ["needleDepths", "needlePrompts"],
  greedy: ["greedyTokens"],
  tasks: ["tasksLengths"],
} as const;

/** An option that was typed and would change nothing is a mistake. One of a config file waits for the runs that use it. */
function refuseAlone(command: Command): void {
  const longOf = (name: string): string => command.options.find((option) => option.attributeName() === name)!.long!;
  const isGiven = (name: string): boolean => (command.getOptionValueSource(name) ?? "default") !== "default";
  for (const [main, details] of Object.entries(DETAILS)) {
    const alone = details.find((detail) => command.getOptionValueSource(detail) === "cli");
    if (alone === undefined || isGiven(main)) continue;
    throw new TurboQuantError(
      "invalid_argument",
      `${longOf(alone)}: does nothing without ${longOf(main)}; pass that too, or leave it out`,
    );
  }
}

async function run(flags: EvalFlags, context: CommandContext): Promise<void> {
  const { io, signal } = context;
  const started = performance.now();
  const kv = flags.kv ?? [DEFAULT_KV];
  // Reports a mistyped spec before the model is loaded.
  for (const spec of [flags.base, ...kv]) parseKvSpec(spec);
  if (flags.ladder && kv.length > 1) {
    throw new TurboQuantError("invalid_argument", `--ladder: expected one --kv, got ${kv.length}; pass one`);
  }
  const rope = ropeOptionOf(flags);
  if (flags.out !== undefined) await checkOutputFile("--out", flags.out);
  const file = await readTextFile(flags.text);
  const progress = progressOf(context, flags);
  await using llm = await loadModel(flags, context, progress, {
    ...backendOptionsOf(flags),
    ...calibrationOption(),
    ...rope,
    // What is asked for is what a context is stretched to, where nobody says by how much.
    ...(rope.rope && { contextLength: longestOf(flags) }),
    kv: flags.base,
    otherKv: kv,
  });
  if (flags.ladder) requireKv(llm, "eval --ladder");
  const rungs = flags.ladder ? await ladderFor(llm, kv[0]!) : null;
  if (rungs && !hasSketch(llm) && !flags.quiet) {
    io.stderr.write(
      `note: no rung for QJL, which the ${llm.ops.name} backend has no kernel for; --backend wasm has one\n`,
    );
  }
  const grid = gridOf(flags);
  const { ctx, chunks, base, needle } = flags;
  const tasks = flags.tasks > 0 ? { prompts: flags.tasks, lengths: flags.tasksLengths } : undefined;
  checkLengths(llm, {
    "--ctx": [ctx],
    "--needle-lengths": grid?.lengths ?? [],
    "--tasks-lengths": tasks?.lengths ?? [],
  });
  const asked = {
    base,
    ctx,
    needle,
    ...(grid && { needleGrid: grid }),
    ...(flags.greedy > 0 && { greedy: { prompts: flags.greedy, tokens: flags.greedyTokens } }),
    ...(tasks && { tasks }),
    ...(flags.diagnose && { diagnose: true }),
  };
  // Before a text is written, which takes a while.
  checkEvaluation(llm, asked);
  await checkCalibrations(llm, kv);
  const store = await entryStore(flags);
  const text = await textOrOwn(file, llm, wantedTokens(flags), flags, context, progress, store);
  const limit = limitOf(context, flags.time, performance.now() - started);
  const rows = await evaluate(llm, {
    text: text.text,
    textSource: text.source,
    kv: rungs ? rungs.map((rung) => rung.kv) : kv,
    chunks,
    ...asked,
    ...(store && { exact: store }),
    limit,
    signal,
    onProgress: progress.onEvent,
  });
  progress.clear();
  if (!hasKv(llm) && !flags.quiet) {
    io.stderr.write(`note: ${llm.name} has no layer with keys and values, so all formats are one\n`);
  }
  const printed = rows.map((row, i) => ({
    ...(rungs && { lever: rungs[i]!.lever }),
    ...row,
    // What the model was read with: of the flags alone, a factor that follows from a length is not known.
    ...(rope.rope && { rope: llm.config.rope }),
  }));
  if (!flags.quiet) for (const note of shortfalls(rows[0]!, flags, limit)) io.stderr.write(`note: ${note}\n`);
  const width = tableWidth(io.stdout);
  if (flags.json) io.stdout.write(`${JSON.stringify(printed.length === 1 ? printed[0] : { rows: printed })}\n`);
  else io.stdout.write(`${evalTable(printed, width)}\n${evalFooter(printed)}${detailTables(printed, width)}`);
  if (flags.out !== undefined)
    await appendRows(flags.out, printed, { backend: llm.ops.describe(), weights: flags.weights });
}

/** What was asked for and is not in the rows. */
function shortfalls(
  { tokens, tokensAsked, needlePrompts, needleGrid, tasks, greedy }: EvalRow,
  flags: EvalFlags,
  limit: RunLimit,
) {
  const { ctx, chunks, needle } = flags;
  const inText = tokensAsked / ctx;
  const notes = inText < chunks ? [`the text has only ${inText} of ${chunks} chunks of ${ctx} tokens`] : [];
  if (!limit.isOver) return notes;
  const depths = flags.needleDepths.length;
  const inGrid = (needleGrid?.reduce((sum, { prompts }) => sum + prompts, 0) ?? 0) / depths;
  const asked = flags.tasks * flags.tasksLengths.length;
  const parts = [
    [tokens, tokensAsked, "tokens"],
    [needlePrompts, needle, "needles"],
    [inGrid, flags.needlePrompts * (flags.needleLengths?.length ?? 0), "prompts of the grid"],
    [(tasks?.reduce((sum, { prompts }) => sum + prompts, 0) ?? 0) / TASK_NAMES.length, asked, "task prompts"],
    [greedy?.prompts ?? 0, flags.greedy, "greedy texts"],
  ] as const;
  const short = parts.filter(([got, wanted]) => got < wanted);
  if (short.length === 0) return notes;
  const list = short.map(([got, wanted, what]) => `${formatCount(got)} of ${formatCount(wanted)} ${what}`).join(", ");
  return [
    ...notes,
    `${limit.isEnded ? "interrupted" : "the time was over"} after ${list}; the figures are of these, and their intervals as much wider`,
  ];
}

const hasSketch = (llm: LLM): boolean => canKeep(llm.ops.capabilities, parseKvSpec("paper-4+qjl").forLayer(0));

/** The ladder's rungs. The rung without calibration exists only if the checkpoint has one. */
async function ladderFor(llm: LLM, kv: string): Promise<Rung[]> {
  const [calibrated] = await decodersFor(llm, [`${kv},calibration=auto`]);
  try {
    return ladderOf(kv, {
      numLayers: llm.config.numLayers,
      isCalibrated: calibrated!.attentionLayer(0).kv.calibration !== null,
      hasSketch: hasSketch(llm),
    });
  } finally {
    calibrated!.dispose();
  }
}

function gridOf(flags: EvalFlags): NeedleGrid | null {
  if (!flags.needleLengths) return null;
  const depths = flags.needleDepths.map((percent) => percent / 100);
  return { lengths: flags.needleLengths, depths, prompts: flags.needlePrompts };
}

/** Tokens of the longest sequence that is asked for. */
function longestOf({ ctx, needleLengths = [], tasks, tasksLengths }: EvalFlags): number {
  return Math.max(ctx, ...needleLengths, ...(tasks > 0 ? tasksLengths : []));
}

/** Number of tokens that a text written by the model needs for everything that was asked for. */
function wantedTokens(flags: EvalFlags): number {
  const greedy = flags.greedy > 0 ? GREEDY_PROMPT_TOKENS + flags.greedy * 16 : 0;
  return Math.max(flags.ctx * flags.chunks, greedy, longestOf(flags));
}

async function appendRows(path: string, rows: readonly EvalRow[], settings: object): Promise<void> {
  const commit = await buildCommit();
  const lines = rows.map(
    (row) => `${JSON.stringify({ ...row, ...settings, commit, date: new Date().toISOString() })}\n`,
  );
  await writeOutput("--out", path, () => appendFile(path, lines.join("")));
}
