/** @file `turboquant calibrate`: fits the KV codes to a model and writes a small file beside the checkpoint. */
import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import type { LLM } from "../../engine/llm.ts";
import { TurboQuantError } from "../../errors.ts";
import { type Calibrated, calibrate } from "../../eval/calibrate.ts";
import { formatBytes, formatCount, significant } from "../../format-number.ts";
import { parseHubId } from "../../formats/hub-id.ts";
import { openCheckpoint } from "../../formats/open-checkpoint.ts";
import { CALIBRATION_FILE, calibrationFileOf, writeCalibration } from "../../models/calibration-file.ts";
import { hubEndpoint } from "../../node/hub/hub-settings.ts";
import { localCheckpoint } from "../../node/platform.ts";
import { findOllamaModel, isOllamaName, ollamaCalibration } from "../../node/shelf/ollama-store.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { addTextOptions, readTextFile, type TextFlags, textOrOwn } from "../eval/text-input.ts";
import { markdownTable } from "../format.ts";
import { loadModel } from "../load-model.ts";
import {
  addBackendOptions,
  addModelOption,
  addOutputOptions,
  addThreadsOption,
  type BackendFlags,
  backendOptionsOf,
  type OutputFlags,
  wholeNumber,
} from "../options.ts";
import { writeFileAtomically } from "../write-file-atomically.ts";

interface CalibrateFlags extends BackendFlags, OutputFlags, Omit<TextFlags, "quiet"> {
  readonly model: string;
  readonly tokens: number;
  readonly ctx: number;
  readonly out?: string;
  readonly force?: boolean;
}

export function configure(command: Command, context: CommandContext): void {
  command.description(
    "Reads some thousand tokens through the exact cache and fits the KV codes to what attention saw: for each KV head a " +
      "mean, a linear map and the metric of its errors. The file is applied by default from then on (calibration=auto); " +
      "caches saved before do not go on with it.",
  );
  addTextOptions(addModelOption(command))
    .option("--tokens <n>", "tokens to read", wholeNumber(1024), 8192)
    .option(
      "-c, --ctx <tokens>",
      "tokens of a sequence, each from an empty cache; take what the cache will hold",
      wholeNumber(64),
      2048,
    )
    .option(
      "--out <file>",
      `where to write (default: ${CALIBRATION_FILE} in the model's folder, NAME.${CALIBRATION_FILE} beside NAME.gguf, the hub's cache for Ollama's)`,
    )
    .option("--force", "replace a calibration that is there");
  addBackendOptions(command);
  addThreadsOption(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `
The report says how much noise is left, by the law of many bits, and what the next chunk of the text measures at 4 bits
without sinks or window. How a preset gains: turboquant eval --ladder. Off again: --kv k4v4,calibration=off.

Examples:
  $ turboquant calibrate --model ./Qwen3-0.6B --text novel.txt
  $ turboquant calibrate --model ./Qwen3-0.6B --force
  $ turboquant calibrate --model Qwen/Qwen3-0.6B --tokens 16384 --json`,
    )
    .action((flags: CalibrateFlags) => run(flags, context));
}

async function run(flags: CalibrateFlags, context: CommandContext): Promise<void> {
  const { io, signal } = context;
  const file = await readTextFile(flags.text);
  // Refuse now, rather than after minutes of work.
  const before = flags.out ?? (await ownFile(flags.model));
  if (before !== undefined) await refuseToReplace(before, flags);
  else if (/^[a-z][\w.+-]+:/i.test(flags.model) && !parseHubId(flags.model, hubEndpoint())) {
    throw new TurboQuantError(
      "invalid_argument",
      `calibrate: ${flags.model} is not in a folder of its own on this machine, beside which a calibration would be found; copy the model into one, or pass --out to write it anyway`,
      { model: flags.model },
    );
  }
  const progress = progressOf(context, flags);
  await using llm = await loadModel(flags, context, progress, { ...backendOptionsOf(flags), kv: "f32" });
  const { tokens, ctx } = flags;
  // The text has one chunk more than is needed for the calibration; the gain is measured on it.
  const text = await textOrOwn(file, llm, tokens + 2 * ctx, flags, context, progress);
  const calibrated = await calibrate(llm, { text: text.text, tokens, ctx, signal, onProgress: progress.onEvent });
  progress.clear();
  // A model that was not on this machine before is now.
  const path = before ?? (await ownFile(flags.model)) ?? calibrationFileOf(llm);
  const bytes = writeCalibration(calibrated.layers, llm.config, llm.weightsFingerprint, {
    tokens: String(calibrated.tokens),
    text: text.source,
  });
  await save(path, bytes, flags.out === undefined);
  if (flags.json)
    io.stdout.write(`${JSON.stringify(report(flags, llm, calibrated, path, bytes.length, text.source))}\n`);
  else io.stdout.write(table(calibrated, path, bytes.length));
}

/** Where the calibration of a model on this machine goes; undefined for one that is not there yet. */
async function ownFile(ref: string): Promise<string | undefined> {
  if (isOllamaName(ref)) return ollamaCalibration(await findOllamaModel(ref));
  const source = await localCheckpoint(ref);
  try {
    return source && join(source.directory, calibrationFileOf(await openCheckpoint(source)));
  } finally {
    await source?.close();
  }
}

async function refuseToReplace(path: string, flags: CalibrateFlags): Promise<void> {
  const there = await stat(path).catch(() => undefined);
  if (!there || flags.force) return;
  throw new TurboQuantError("invalid_argument", `calibrate: ${path} is there already; pass --force to replace it`, {
    path,
  });
}

/** ownPlace: whether the place was chosen here, and its folder in a cache may have to be made */
async function save(path: string, bytes: Uint8Array, ownPlace: boolean): Promise<void> {
  try {
    if (ownPlace) await mkdir(dirname(path), { recursive: true });
    await writeFileAtomically(path, bytes);
  } catch (cause) {
    throw new TurboQuantError(
      "invalid_argument",
      `calibrate: ${path} cannot be written (${(cause as NodeJS.ErrnoException).code}); choose another place with --out`,
      { path },
      { cause },
    );
  }
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;

/** Means over the KV heads of each layer. */
function layerNoise({ predicted }: Calibrated): { key: number; value: number }[] {
  return predicted.map((heads) => ({
    key: meanOf(heads.map(({ key }) => key)),
    value: meanOf(heads.map(({ value }) => value)),
  }));
}

function report(
  { tokens: asked, ctx }: CalibrateFlags,
  llm: LLM,
  calibrated: Calibrated,
  file: string,
  bytes: number,
  textSource: string,
) {
  const layers = layerNoise(calibrated);
  return {
    model: llm.name,
    file,
    bytes,
    textSource,
    tokensAsked: asked,
    tokens: calibrated.tokens,
    ctx,
    predictedKeyNoise: meanOf(layers.map(({ key }) => key)),
    predictedValueNoise: meanOf(layers.map(({ value }) => value)),
    layers,
    measured: calibrated.measured,
  };
}

function table(calibrated: Calibrated, path: string, bytes: number): string {
  const columns = ["layer", "K noise left", "V noise left"].map((title) => ({ title, align: "right" as const }));
  const rows = layerNoise(calibrated).map(({ key, value }, i) => [
    String(calibrated.attentionLayers[i]),
    significant(key),
    significant(value),
  ]);
  const { measured, tokens } = calibrated;
  const gain = measured
    ? `${measured.kv} on the next ${formatCount(measured.tokens)} tokens: KLD ${significant(measured.kldWithout)} without, ${significant(measured.kldWith)} with (× ${significant(measured.kldWith / measured.kldWithout)})\n`
    : "the text has no chunk left to measure on; see turboquant eval --ladder\n";
  return `${markdownTable(columns, rows)}
relative to a plain rotation, in the limit of many bits; means over KV heads, ${formatCount(tokens)} tokens read
${gain}${path}  ${formatBytes(bytes)}
`;
}
