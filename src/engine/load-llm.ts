/** @file Loads a model: reads what the files say and checks it, opens the backend, and brings weights, tokenizer and calibration there. */
import type { Ops } from "../backends/ops.ts";
import { TurboQuantError } from "../errors.ts";
import { formatCount } from "../format-number.ts";
import { weightsDigestOf } from "../formats/checkpoint-fingerprint.ts";
import type { FileSource } from "../formats/file-source.ts";
import { loadGenerationConfig } from "../formats/generation-config.ts";
import { openCheckpoint } from "../formats/open-checkpoint.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import { calibratedShape, hasCalibration, type ReadCalibration, readCalibration } from "../models/calibration-file.ts";
import { checkWeights } from "../models/check-weights.ts";
import { type ModelConfig, parseModelConfig } from "../models/config.ts";
import { Decoder } from "../models/decoder.ts";
import { layerKindsOf, layoutOf } from "../models/layout.ts";
import { modelOfCheckpoint } from "../plan/read-model.ts";
import { getPlatform } from "../platform.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { calibratedLayers } from "./calibration/calibrated-layers.ts";
import { calibrationChoice, wantsCalibration } from "./calibration/calibration-wish.ts";
import { makeCalibration } from "./calibration/make-calibration.ts";
import { checkBudgetGiven } from "./coarsening.ts";
import { Grammars } from "./grammar/grammars.ts";
import { DEFAULT_KV, LOAD_OPTIONS, type LoadOptions } from "./load-options.ts";
import type { SamplingParams } from "./sampling-params.ts";
import { type Started, startBackend } from "./start-backend.ts";
import { yieldNow } from "./yield-now.ts";

type Calibration = ReadCalibration["layers"];

const TEXT_PART_NOTE = "Only the text model is loaded: the checkpoint's parts for image or sound inputs are left out.";

/** What a model shares with its views over other formats; see the fields of `LLM`. */
export interface SharedFields {
  readonly name: string;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  readonly eosTokens: ReadonlySet<number>;
  readonly samplingDefaults: Partial<SamplingParams>;
  readonly weightsFingerprint: string;
  /** See `LLM.weightsDigest`. */
  readonly weightsDigest: () => Promise<string>;
  readonly stem: string | null;
  readonly backendChoice: string | undefined;
  readonly notes: readonly string[];
  readonly reopen: () => Promise<FileSource>;
  readonly grammars: Grammars;
  /** See `LoadOptions.calibration`. */
  readonly calibrationOption: string | undefined;
  /** Part of the fingerprint: what is cached with another rope than the config's is of another model. Empty without. */
  readonly ropeTag: string;
  /** The calibration that was made since loading. */
  readonly made: { layers: Calibration | null };
  readonly longestContext: (kv: string) => number;
}

/** What a model and each of its views have for themselves. */
export interface OwnFields {
  readonly decoder: Decoder;
  readonly calibration: Calibration;
  readonly contextLength: number;
  readonly kvBudgetBytes: number | undefined;
  /** Whether the weights are owned by another LLM. */
  readonly isView: boolean;
}

/** make: of what is loaded; where it fails, everything is freed. Otherwise as `LLM.load` */
export async function loadLlm<T>(
  ref: string | FileSource,
  options: LoadOptions,
  make: (shared: SharedFields, own: OwnFields) => Promise<T>,
): Promise<T> {
  checkRef(ref);
  refuseUnknownOptions("load", options, LOAD_OPTIONS);
  const { onProgress, signal } = options;
  const spec = parseKvSpec(options.kv ?? DEFAULT_KV);
  checkBudgetGiven(spec, options.kvBudgetBytes);
  const open = async (more: Pick<LoadOptions, "onProgress" | "signal"> = {}): Promise<FileSource> =>
    typeof ref === "string" ? getPlatform().openSource(ref, more) : shareSource(ref);
  const source = await open({ ...(onProgress && { onProgress }), ...(signal && { signal }) });
  let ops: Ops | undefined;
  try {
    const checkpoint = await openCheckpoint(source);
    const config = parseModelConfig(await checkpoint.config(), checkpoint.configFile, options);
    spec.forModel(layerKindsOf(layoutOf(config)));
    checkContext(options.contextLength, config.maxPositionEmbeddings);
    const tensors = await checkpoint.tensors();
    await checkWeights(checkpoint, config);
    signal?.throwIfAborted();
    const generationConfig = await loadGenerationConfig(checkpoint.files, config);
    const option = options.calibration;
    const choice = calibrationChoice(spec, option);
    const own = await readCalibration(source, choice, calibratedShape(config), checkpoint);
    const formats = [spec, ...(options.otherKv ?? []).map(parseKvSpec)];
    const isWanted = formats.some((format) => wantsCalibration(format, option));
    const hasOwn = own.from !== null || (choice !== "auto" && (await hasCalibration(source, checkpoint)));
    // One that is made is kept for the model as it is.
    let isMade = isWanted && !hasOwn && !options.rope;
    const isCalibrated = own.from !== null || (option !== "off" && (hasOwn || (isMade && canBeCalibrated(config))));
    const planned = { ...modelOfCheckpoint(config, checkpoint.modelName, tensors), isCalibrated };
    options.onModel?.(planned);
    const notes: (string | null)[] = [];
    const starting = startBackend(options, planned).catch((error: unknown) => {
      // A model that just fits goes without a calibration that nobody made.
      if (!isMade || !(error instanceof TurboQuantError && error.code === "out_of_memory")) throw error;
      isMade = false;
      notes.push("calibration: none was made: its maps do not fit the memory beside the model");
      return startBackend(options, { ...planned, isCalibrated: false });
    });
    const [started, tokenizer] = await withTokenizer(starting, checkpoint.files);
    ops = started.ops;
    signal?.throwIfAborted();
    await options.onFit?.(started.footprint());
    signal?.throwIfAborted();
    const { fit, note } = started;
    notes.push(note, fit.note, ...(ops.notes ?? []), config.isTextPart ? TEXT_PART_NOTE : null);
    let decoder = await Decoder.load(ops, checkpoint, {
      config,
      kv: spec,
      weights: options.weights ?? "auto",
      calibration: own.layers,
      placement: fit.placement,
      onBytes: (item, done, total) => onProgress?.({ phase: "load", item, done, total, unit: "bytes" }),
      ...(signal && { signal }),
    });
    let calibration = own.layers;
    const made: SharedFields["made"] = { layers: null };
    if (isMade) {
      const model = { decoder, tokenizer, checkpoint, source };
      const outcome = await makeCalibration(model, { maxSeconds: options.calibrationSeconds, signal, onProgress });
      notes.push(outcome.note);
      made.layers = outcome.layers;
      if (made.layers && wantsCalibration(spec, option)) {
        calibration = made.layers;
        const plain = decoder;
        decoder = plain.withFormat(spec, calibration);
        plain.dispose();
      }
    } else notes.push(lengthNote(own, fit.contextLength));
    const eosTokens = new Set(generationConfig.eosTokenIds);
    const weightsFingerprint = await checkpoint.fingerprint();
    let digest: Promise<string> | undefined;
    return await make(
      {
        name: checkpoint.modelName,
        config,
        tokenizer,
        eosTokens,
        grammars: new Grammars(tokenizer, eosTokens),
        samplingDefaults: generationConfig.sampling,
        weightsFingerprint,
        weightsDigest: () => (digest ??= digestOf(open, weightsFingerprint)),
        stem: checkpoint.stem,
        backendChoice: started.choice,
        notes: notes.filter((text) => text !== null),
        reopen: open,
        ropeTag: options.rope ? `+rope${JSON.stringify(config.rope)}` : "",
        calibrationOption: option,
        made,
        longestContext: started.longestContext,
      },
      {
        decoder,
        calibration,
        contextLength: fit.contextLength,
        kvBudgetBytes: options.kvBudgetBytes,
        isView: false,
      },
    );
  } catch (error) {
    await ops?.dispose();
    throw error;
  } finally {
    await source.close();
  }
}

/** See `LLM.weightsDigest`. */
async function digestOf(open: () => Promise<FileSource>, fingerprint: string): Promise<string> {
  const source = await open();
  try {
    const checkpoint = await openCheckpoint(source);
    if ((await checkpoint.fingerprint()) === fingerprint) return await weightsDigestOf(checkpoint);
    throw new TurboQuantError(
      "invalid_file",
      `${source.name}: expected the weights that were loaded, got others; load the model again`,
    );
  } finally {
    await source.close();
  }
}

/** Programs in plain JavaScript pass anything. */
function checkRef(ref: unknown): void {
  if (typeof ref === "string" ? ref.trim() !== "" : typeof (ref as FileSource | null)?.read === "function") return;
  throw new TurboQuantError(
    "invalid_argument",
    `load: expected a model's name, folder or address, or a file source, got ${ref === "" ? '""' : String(ref)}; pass one, such as "qwen3-3m"`,
  );
}

/** The vocabulary is read while the backend's threads start, and before any weights, so that what is wrong with it is said soon. */
async function withTokenizer(starting: Promise<Started>, files: FileSource): Promise<[Started, Tokenizer]> {
  // Whichever fails first, the other one comes to its end.
  starting.catch(() => {});
  try {
    await yieldNow();
    const tokenizer = await loadTokenizer(files);
    return [await starting, tokenizer];
  } catch (error) {
    await starting.then(
      ({ ops }) => ops.dispose(),
      () => {},
    );
    throw error;
  }
}

const canBeCalibrated = (config: ModelConfig): boolean => typeof calibratedLayers(config) !== "string";

/** Said where a calibration was made for shorter contexts than this one. */
function lengthNote({ from, positions }: ReadCalibration, contextLength: number): string | null {
  if (from === null || positions === null || positions >= contextLength) return null;
  const [known, context] = [positions, contextLength].map(formatCount);
  return `calibration: ${from} was made for ${known} positions, and the context has ${context}; turboquant calibrate --force makes one for all`;
}

/** Wraps a file source that the caller owns, so that closing the wrapper leaves it open. */
function shareSource(source: FileSource): FileSource {
  return {
    name: source.name,
    ...(source.modelName !== undefined && { modelName: source.modelName }),
    ...(source.weights !== undefined && { weights: source.weights }),
    ...(source.quant !== undefined && { quant: source.quant }),
    ...(source.isLocal !== undefined && { isLocal: source.isLocal }),
    ...(source.list && { list: () => source.list!() }),
    has: (file) => source.has(file),
    size: (file) => source.size(file),
    read: (file, start, end, how) => source.read(file, start, end, how),
    close: async () => {},
  };
}

function checkContext(asked: number | undefined, limit: number): void {
  if (asked === undefined || (Number.isInteger(asked) && asked >= 1 && asked <= limit)) return;
  throw new TurboQuantError(
    "invalid_argument",
    `contextLength: expected 1 to ${limit} (the model's max_position_embeddings), got ${asked}${asked > limit ? "; shorten it, or stretch the model's at some loss (--rope-scaling yarn, in code rope: { scaling: 'yarn' })" : ""}`,
    { contextLength: asked, limit },
  );
}
