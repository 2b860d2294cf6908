/** @file `turboquant calibrate`: fits the KV codes to a model and writes a small file beside the checkpoint. */
import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Command, Option } from "commander";
import { requireCalibratedLayers } from "../../engine/calibration/calibrated-layers.ts";
import { calibrationSequences, MIN_TOKENS } from "../../engine/calibration/calibration-sequences.ts";
import { CALIBRATION_TEXT, CALIBRATION_TEXT_NAME } from "../../engine/calibration/calibration-text.ts";
import { fitOscar, oscarLayers } from "../../engine/calibration/fit-oscar.ts";
import { calibrationMetadata } from "../../engine/calibration/make-calibration.ts";
import type { LLM } from "../../engine/llm.ts";
import { TurboQuantError } from "../../errors.ts";
import { type Calibrated, calibrate } from "../../eval/calibrate.ts";
import { formatBytes, formatCount, significant } from "../../format-number.ts";
import { hubName, parseHubId } from "../../formats/hub-id.ts";
import { openCheckpoint } from "../../formats/open-checkpoint.ts";
import {
  CALIBRATION_FILE,
  calibratedShape,
  calibrationFileOf,
  writeCalibration,
} from "../../models/calibration-file.ts";
import { hubEndpoint } from "../../node/hub/hub-settings.ts";
import { localCheckpoint } from "../../node/platform.ts";
import { findOllamaModel, isOllamaName, ollamaCalibration } from "../../node/shelf/ollama-store.ts";
import { writeFileAtomically } from "../../node/write-file-atomically.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { addTextOptions, type EvalText, readTextFile, type TextFlags, textOrOwn } from "../eval/text-input.ts";
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
import { checkOutputFile, checkOutputFolder, printedAnyway } from "../output-file.ts";
import { reasonOf } from "../system-error.ts";

/** Tokens of a sequence where nothing else is said. */
const DEFAULT_CTX = 2048;

interface CalibrateFlags extends BackendFlags, OutputFlags, Omit<TextFlags, "quiet"> {
  readonly model: string;
  readonly tokens: number;
  readonly ctx?: number;
  readonly positions?: number;
  readonly method: "own" | "oscar";
  readonly out?: string;
  readonly share?: boolean;
  readonly check?: boolean;
  readonly force?: boolean;
}

export function configure(command: Command, context: CommandContext): void {
  command.description(
    "Reads a thousand tokens through the exact cache and fits the KV codes to what attention saw: for each KV head a " +
      "mean, a linear map and the metric of its errors, for all positions of the model. Commands do so themselves when they load a " +
      "model that has none. The file is applied by default from then on (calibration=auto); caches saved before do not go on with it.",
  );
  addTextOptions(
    addModelOption(command),
    "plain text to read (default: one that comes with the package, or for more tokens than it has one that the model writes)",
  )
    .option("--tokens <n>", "tokens to read", wholeNumber(MIN_TOKENS), MIN_TOKENS)
    .option(
      "-c, --ctx <tokens>",
      "the most tokens of a sequence, each from an empty cache (default: 2048, or all that a model takes)",
      wholeNumber(64),
    )
    .option("--positions <n>", "longest context that it is for (default: the model's)", wholeNumber(64))
    .addOption(
      new Option("--method <name>", "what to fit: our maps, or the rotations of OSCAR for --kv oscar-2, with --out")
        .choices(["own", "oscar"])
        .default("own"),
    )
    .option("--check", "measure the gain at 4 bits on text that was not read, which takes longer than all else")
    .option(
      "--out <path>",
      `where to write (default: ${CALIBRATION_FILE} in the model's folder, NAME.${CALIBRATION_FILE} beside NAME.gguf, the hub's cache for Ollama's); --kv k4v4,calibration=<path> takes it from there`,
    )
    .option(
      "--share",
      `write ./${CALIBRATION_FILE} for a repository of yours on the hub, from which others take it by its name`,
    )
    .option("--force", "replace a calibration that is there");
  addBackendOptions(command);
  addThreadsOption(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `
The report says how much noise is left, by the law of many bits. How a preset gains: turboquant eval --ladder. Off again:
--kv k4v4,calibration=off.

Examples:
  $ turboquant calibrate --model ./Qwen3-0.6B
  $ turboquant calibrate --model ./Qwen3-0.6B --text novel.txt --check --force
  $ turboquant calibrate --model Qwen/Qwen3-0.6B --out qwen.safetensors --json
  $ turboquant calibrate --model Qwen/Qwen3-0.6B --share`,
    )
    .action((flags: CalibrateFlags) => run(flags, context));
}

async function run(flags: CalibrateFlags, context: CommandContext): Promise<void> {
  const { io, signal } = context;
  const file = await readTextFile(flags.text);
  const hub = parseHubId(flags.model, hubEndpoint());
  const chosen = flags.out ?? (flags.share ? CALIBRATION_FILE : undefined);
  if (flags.share && !hub) {
    throw new TurboQuantError(
      "invalid_argument",
      `calibrate: --share is for models of the hub, which others have as well (org/name), and ${flags.model} is none; pass --out to write a file`,
      { model: flags.model },
    );
  }
  if (flags.method === "oscar" && (flags.out === undefined || flags.check)) {
    throw new TurboQuantError(
      "invalid_argument",
      "calibrate: --method oscar makes a file for --kv oscar-2 alone, which no model reads by itself, and has no --check; pass --out oscar.safetensors",
    );
  }
  // Refuse now, rather than after the work.
  const before = chosen ?? (await ownFile(flags.model));
  if (before !== undefined) await checkPlace(before, flags, chosen === undefined);
  else if (/^[a-z][\w.+-]+:/i.test(flags.model) && !hub) {
    throw new TurboQuantError(
      "invalid_argument",
      `calibrate: ${flags.model} is not in a folder of its own on this machine, beside which a calibration would be found; copy the model into one, or pass --out to write it anyway`,
      { model: flags.model },
    );
  }
  const progress = progressOf(context, flags);
  await using llm = await loadModel(flags, context, progress, { ...backendOptionsOf(flags), kv: "f32" });
  const { tokens, positions } = flags;
  const limit = llm.config.maxPositionEmbeddings;
  const ctx = flags.ctx ?? Math.min(DEFAULT_CTX, limit);
  if (ctx > limit) {
    throw new TurboQuantError(
      "invalid_argument",
      `--ctx: expected at most ${limit} (the model's max_position_embeddings), got ${ctx}`,
      { ctx, limit },
    );
  }
  if (positions !== undefined && positions > limit) {
    throw new TurboQuantError(
      "invalid_argument",
      `--positions: expected at most ${limit} (the model's max_position_embeddings), got ${positions}`,
      { positions, limit },
    );
  }
  // Before a text is written, which takes a while.
  if (flags.method === "oscar") oscarLayers(llm.decoder);
  else requireCalibratedLayers(llm.config);
  const own = (wanted: number) => textOrOwn(null, llm, wanted, flags, context, progress);
  const text = file ?? packageText(llm, tokens) ?? (await own(tokens));
  if (flags.method === "oscar") {
    const { sequences } = calibrationSequences(llm.tokenizer, text.text, { tokens, ctx });
    const layers = await fitOscar(llm.decoder, { sequences, signal, onProgress: progress.onEvent });
    progress.clear();
    const file = writeCalibration(layers, calibratedShape(llm.config), llm.weightsFingerprint, {
      method: "oscar",
      text: text.source,
    });
    await save(flags.out!, file, false);
    if (flags.json)
      io.stdout.write(`${JSON.stringify({ model: llm.name, method: "oscar", file: flags.out, bytes: file.length })}\n`);
    else
      io.stdout.write(`${flags.out}  ${formatBytes(file.length)}\nto use it: --kv oscar-2,calibration=${flags.out}\n`);
    return;
  }
  const check = flags.check ? (file ? true : (await own(2 * ctx)).text) : undefined;
  const calibrated = await calibrate(llm, {
    ...{ text: text.text, tokens, ctx, signal, onProgress: progress.onEvent },
    ...(positions !== undefined && { positions }),
    ...(check !== undefined && { check }),
  });
  progress.clear();
  // A model that was not on this machine before is now.
  const path = before ?? (await ownFile(flags.model)) ?? calibrationFileOf(llm);
  const bytes = writeCalibration(calibrated.layers, calibratedShape(llm.config), llm.weightsFingerprint, {
    // The name of a user's file is nobody's business.
    ...calibrationMetadata(calibrated, flags.share && file ? "a text of the author's" : text.source),
    ...(flags.share && hub && { model: hubName(hub) }),
  });
  if (!flags.json) io.stdout.write(table(calibrated, flags));
  const write = async () => {
    await save(path, bytes, chosen === undefined);
    return { file: path, bytes: bytes.length };
  };
  await printedAnyway(write, (written) => {
    if (flags.json)
      io.stdout.write(`${JSON.stringify(report({ tokens, ctx }, llm, calibrated, written, text.source))}\n`);
    else if (written) io.stdout.write(`${placeText(path, bytes.length, flags)}${flags.share ? SHARING : ""}`);
  });
}

const SHARING = `put it into a repository of yours: hf upload YOU/REPOSITORY ${CALIBRATION_FILE}
others take it from there:        --kv k4v4,calibration=YOU/REPOSITORY
`;

/** The text that comes with the package, or null where it has fewer tokens. */
function packageText({ tokenizer }: LLM, tokens: number): EvalText | null {
  const has = tokenizer.encode(CALIBRATION_TEXT, { addSpecialTokens: false }).length;
  return has < tokens ? null : { text: CALIBRATION_TEXT, source: CALIBRATION_TEXT_NAME };
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

/** ownPlace: as in `save` */
async function checkPlace(path: string, flags: CalibrateFlags, ownPlace: boolean): Promise<void> {
  if (!flags.force && (await stat(path).catch(() => undefined))) {
    throw new TurboQuantError("invalid_argument", `calibrate: ${path} is there already; pass --force to replace it`, {
      path,
    });
  }
  if (ownPlace) await checkOutputFolder("calibrate without --out:", dirname(path));
  else await checkOutputFile("--out", path);
}

/** ownPlace: whether the place was chosen here, and its folder in a cache may have to be made */
async function save(path: string, bytes: Uint8Array, ownPlace: boolean): Promise<void> {
  try {
    if (ownPlace) await mkdir(dirname(path), { recursive: true });
    await writeFileAtomically(path, bytes);
  } catch (cause) {
    throw new TurboQuantError(
      "invalid_argument",
      `calibrate: ${path} cannot be written: ${reasonOf(cause)}; choose another place with --out`,
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
  { tokens: asked, ctx }: { readonly tokens: number; readonly ctx: number },
  llm: LLM,
  calibrated: Calibrated,
  written: { readonly file: string; readonly bytes: number } | null,
  textSource: string,
) {
  const layers = layerNoise(calibrated);
  return {
    model: llm.name,
    ...(written ?? { file: null, bytes: null }),
    textSource,
    tokensAsked: asked,
    tokens: calibrated.tokens,
    ctx,
    positions: calibrated.positions,
    predictedKeyNoise: meanOf(layers.map(({ key }) => key)),
    predictedValueNoise: meanOf(layers.map(({ value }) => value)),
    layers,
    measured: calibrated.measured,
  };
}

function table(calibrated: Calibrated, { check }: CalibrateFlags): string {
  const columns = ["layer", "K noise left", "V noise left"].map((title) => ({ title, align: "right" as const }));
  const rows = layerNoise(calibrated).map(({ key, value }, i) => [
    String(calibrated.attentionLayers[i]),
    significant(key),
    significant(value),
  ]);
  const { measured, tokens, positions } = calibrated;
  const unmeasured = check ? "the text has no chunk left to measure on; see turboquant eval --ladder\n" : "";
  const gain = measured
    ? `${measured.kv} on the next ${formatCount(measured.tokens)} tokens: KLD ${significant(measured.kldWithout)} without, ${significant(measured.kldWith)} with (× ${significant(measured.kldWith / measured.kldWithout)})\n`
    : unmeasured;
  return `${markdownTable(columns, rows)}
relative to a plain rotation, in the limit of many bits; means over KV heads, ${formatCount(tokens)} tokens read, for ${formatCount(positions)} positions
${gain}`;
}

const placeText = (path: string, bytes: number, { out }: CalibrateFlags): string =>
  `${path}  ${formatBytes(bytes)}\n${out === undefined ? "" : `to use it: --kv k4v4,calibration=${out}\n`}`;
