/** @file `turboquant tune`: searches the plans of WebGPU kernels on this machine's adapter, and keeps the best. */
import { type Command, Option } from "commander";
import type { WeightType } from "../../backends/ops.ts";
import { openDevice } from "../../backends/webgpu/device/open-device.ts";
import type { Winner } from "../../backends/webgpu/plans/kernel-plans.ts";
import { formatPlans, planFile, storedPlans } from "../../backends/webgpu/plans/stored-plans.ts";
import type { TuneRow } from "../../bench/tune/search.ts";
import { type TuneQuestion, type TuneSummary, tune } from "../../bench/tune/tune.ts";
import { DEFAULT_KV } from "../../engine/load-options.ts";
import { openCheckpoint } from "../../formats/open-checkpoint.ts";
import { tuningFigure } from "../../lab/report/figures/tuning.ts";
import { loadPlot } from "../../lab/report/plot-context.ts";
import { parseModelConfig } from "../../models/config.ts";
import { layerKindsOf, layoutOf } from "../../models/layout.ts";
import { shapeConfig, shapeNames } from "../../models/shapes.ts";
import { readPlannedModel } from "../../plan/read-model.ts";
import { kernelPlanShelf, type TextShelf } from "../../platform.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { AppendedRows } from "../appended-rows.ts";
import { type CommandContext, EXIT_INTERRUPTED, progressOf } from "../context.ts";
import { formatPercent, plainTable } from "../format.ts";
import { KeptPlans } from "../kernels/kept-plans.ts";
import type { KernelRequest } from "../kernels/kernel-texts.ts";
import { tuneQuestions } from "../kernels/tune-questions.ts";
import { addModelOption, duration, type OutputFlags, WEIGHTS, wholeNumbers } from "../options.ts";
import { checkOutputFile, checkOutputFolder, printedAnyway, writeOutput } from "../output-file.ts";
import { writePictures } from "../report/write-pictures.ts";
import { withMetadata } from "../with-metadata.ts";

interface TuneFlags extends OutputFlags {
  readonly model: string;
  readonly shape?: string;
  readonly kv: string;
  readonly weights: WeightType | "auto";
  readonly time: number;
  readonly rows: readonly number[];
  readonly depth: readonly number[];
  readonly again?: boolean;
  readonly forget?: boolean;
  readonly out?: string;
  readonly plots?: string;
}

export function configure(command: Command, context: CommandContext): void {
  command.description(
    "Searches the plans of WebGPU kernels for a model's shapes on this machine's adapter: tiles and subgroups of matrix products, keys, parts and " +
      "invocations of attention. A plan is checked against the reference before it is timed, and one that gives wrong numbers is dropped and named. " +
      "The best is kept by adapter, driver and shape where it beats the built-in rule by more than the samples scatter, and used from then on. " +
      "Answers are kept as they come: Ctrl-C or the end of the time loses none, and the next run goes on with what is left.",
  );
  addModelOption(
    command,
    "checkpoint whose shapes to tune: a directory, a .gguf file, a config.json, a name on the hub (org/name) or an embedded model; no weights are read",
  )
    .option("--shape <name>", `a public checkpoint by its shape instead of --model: ${shapeNames.join(", ")}`)
    .option("--kv <spec>", "KV format", DEFAULT_KV)
    .addOption(new Option("--weights <type>", "how weights are kept; auto: as stored").choices(WEIGHTS).default("auto"))
    .option("--time <duration>", "when to end, such as 90s or 10m", duration, 60_000)
    .option(
      "--rows <list>",
      "rows of products, comma separated: 1 is a token, many are a prompt",
      wholeNumbers(1),
      [1, 512],
    )
    .option("-d, --depth <list>", "tokens in the cache, comma separated", wholeNumbers(1), [4096])
    .option("--again", "search shapes that are answered already too")
    .option("--forget", "remove what is kept for this adapter, and search nothing")
    .option("--out <file>", "append a row for every plan that was tried to this file, as JSON lines")
    .option("--plots <folder>", "draw the history of the best into this folder, as SVG")
    .option("--json", "print one JSON object and nothing else on stdout")
    .option("--quiet", "no progress on stderr")
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant tune
  $ turboquant tune --model Qwen/Qwen3-0.6B --time 5m --depth 4096,32768
  $ turboquant tune --shape qwen3-8b --weights q4 --rows 1,8,512 --plots tuned --out tuned.jsonl
  $ turboquant tune --forget`,
    )
    .action((flags: TuneFlags) => run(flags, context));
}

async function run(flags: TuneFlags, context: CommandContext): Promise<void> {
  const { io, signal } = context;
  if (flags.out !== undefined) await checkOutputFile("--out", flags.out);
  if (flags.plots !== undefined) await checkOutputFolder("--plots", flags.plots);
  const shelf = kernelPlanShelf()!;
  const device = await openDevice();
  const name = planFile(device)!;
  try {
    if (flags.forget) return await forget(shelf, name, flags, context);
    const { found, note } = await storedPlans(device);
    if (note !== null && !flags.quiet) io.stderr.write(`${note.replace(/; run turboquant tune again.*/, "")}\n`);
    const winners = new Map(found.winners.map((winner) => [winner.key, winner]));
    const byRule = new Set(found.byRule);
    const progress = progressOf(context, flags);
    const questions = await questionsOf(flags, device.features, context);
    const rows: TuneRow[] = [];
    const appended = new AppendedRows(flags.out);
    const answered = new Map<string, Winner | null>();
    let summary: TuneSummary = { done: 0, cut: 0, left: 0 };
    const kept = new KeptPlans(shelf, name);
    const keep = async (key: string, winner: Winner | null): Promise<void> => {
      answered.set(key, winner);
      winners.delete(key);
      byRule.delete(key);
      if (winner) winners.set(key, winner);
      else byRule.add(key);
      await kept.put(formatPlans(device, { winners: [...winners.values()], byRule: [...byRule] }));
    };
    const draw = async (): Promise<void> => {
      if (flags.plots !== undefined) await plot(device.adapterName, rows, flags.plots);
    };
    try {
      const trials = tune({
        ...{ questions, ms: flags.time, signal, onAnswer: keep },
        known: new Set(flags.again ? [] : [...winners.keys(), ...byRule]),
        onProgress: (what, done, total) => progress.update("tuning", done, total, what),
      });
      for (let next = await trials.next(); ; next = await trials.next()) {
        if (next.done) {
          summary = next.value;
          break;
        }
        rows.push(next.value);
        appended.add(next.value);
        if (next.value.dropped !== undefined && !flags.quiet) {
          progress.clear();
          io.stderr.write(`dropped: ${next.value.kernel}: ${next.value.plan}: ${next.value.dropped}\n`);
        }
      }
    } catch (error) {
      // The history shows where it failed.
      await draw().catch(() => {});
      throw error;
    } finally {
      progress.clear();
    }
    if (signal.aborted) context.setExitCode(EXIT_INTERRUPTED);
    const result = { adapter: device.adapter, file: kept.place, ...summary, interrupted: signal.aborted };
    await printedAnyway(draw, () => {
      if (flags.json) {
        io.stdout.write(`${JSON.stringify({ ...result, answers: [...answered].map(answerJson), rows })}\n`);
      } else io.stdout.write(summaryText(answered, rows, result));
    });
    appended.end();
    kept.end();
  } finally {
    device.dispose();
  }
}

async function forget(shelf: TextShelf, name: string, { json }: TuneFlags, { io }: CommandContext): Promise<void> {
  const place = await shelf.remove(name);
  if (json) io.stdout.write(`${JSON.stringify({ removed: place })}\n`);
  else io.stdout.write(place === null ? "nothing was kept for this adapter\n" : `removed ${place}\n`);
}

async function questionsOf(
  flags: TuneFlags,
  features: KernelRequest["features"],
  context: CommandContext,
): Promise<TuneQuestion[]> {
  const asked = parseKvSpec(flags.kv);
  const scope = { rows: flags.rows, depths: flags.depth };
  const { weights } = flags;
  const requestOf = (config: KernelRequest["config"], storedType: KernelRequest["storedType"]): KernelRequest => {
    const contextLength = Math.max(...flags.depth, ...flags.rows, Math.min(config.maxPositionEmbeddings, 4096));
    const kv = asked.forModel(layerKindsOf(layoutOf(config)));
    return { config, kv, calibration: [], weights, storedType, features, contextLength };
  };
  if (flags.shape !== undefined)
    return tuneQuestions(
      requestOf(shapeConfig(flags.shape), () => "bf16"),
      scope,
    );
  return withMetadata(flags.model, flags, context, async (source) => {
    const checkpoint = await openCheckpoint(source);
    const config = parseModelConfig(await checkpoint.config(), checkpoint.configFile);
    const { storedType, storedTypeOf } = await readPlannedModel(source);
    return tuneQuestions(
      requestOf(config, (tensor) => storedTypeOf?.get(tensor) ?? storedType),
      scope,
    );
  });
}

async function plot(device: string, rows: readonly TuneRow[], folder: string): Promise<void> {
  const figure = tuningFigure(await loadPlot(), device, rows);
  if (figure) await writeOutput("--plots", folder, async () => void (await writePictures([figure], folder, false)));
}

const answerJson = ([key, winner]: readonly [string, Winner | null]) => ({
  ...{ kernel: key, plan: winner?.plan ?? null },
  ...{ us: winner?.us ?? null, rule_us: winner?.ruleUs ?? null, spread: winner?.spread ?? null },
});

function summaryText(
  answered: ReadonlyMap<string, Winner | null>,
  rows: readonly TuneRow[],
  { done, cut, left, file, interrupted }: TuneSummary & { readonly file: string | null; readonly interrupted: boolean },
): string {
  const us = (value: number | null | undefined): string => (value == null ? "–" : value.toFixed(value < 100 ? 1 : 0));
  const lines = [...answered].map(([key, winner]) => {
    const own = rows.filter(({ kernel, us: time }) => kernel === key && time !== null);
    const ruleUs = winner?.ruleUs ?? own.find(({ isRule }) => isRule)?.us;
    const gain = winner ? formatPercent(1 - winner.us / winner.ruleUs) : "–";
    return [key, `${own.length}`, us(ruleUs), us(winner?.us), gain, winner ? (own.at(-1)?.best ?? "") : "as by rule"];
  });
  const header = ["kernel", "plans", "rule µs", "best µs", "less by", "plan"];
  const table = plainTable([header, ...lines], ["left", "right", "right", "right", "right", "left"]);
  const dropped = rows.filter((row) => row.dropped !== undefined).length;
  const notes = [
    `${done} shapes searched${cut > 0 ? `, ${cut} cut short` : ""}${left > 0 ? `, ${left} not begun: run it again to go on, or with a longer --time` : ""}${dropped > 0 ? `; ${dropped} plans dropped` : ""}${interrupted ? "; interrupted" : ""}`,
    ...(file === null ? [] : [`kept in ${file}; turboquant tune --forget removes it`]),
  ];
  return `${lines.length > 0 ? `${table}\n` : ""}${notes.join("\n")}\n`;
}
