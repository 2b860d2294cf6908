/** @file Calibrates a model's KV cache on a text, and measures on request what that gains. */
import { calibrationSequences } from "../engine/calibration/calibration-sequences.ts";
import { type Fitted, fitCalibration } from "../engine/calibration/fit-calibration.ts";
import { outputReader } from "../engine/calibration/output-reader.ts";
import type { LLM } from "../engine/llm.ts";
import { assert } from "../errors.ts";
import { openCheckpoint } from "../formats/open-checkpoint.ts";
import type { OnProgress } from "../platform.ts";
import type { LayerCalibration } from "../quant/calibration.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { type Contender, compareOnTokens, emptyRecord, makeContender } from "./compare.ts";
import { textChunks } from "./text-chunks.ts";

export interface CalibrateOptions {
  readonly text: string;
  /** The most tokens to use; fewer when the text is shorter. */
  readonly tokens: number;
  /** The most tokens in one sequence. */
  readonly ctx: number;
  /** Positions of the longest context that it is for; default: the model's. */
  readonly positions?: number;
  /** Measures the gain: on this text, or with `true` on what follows in `text`. */
  readonly check?: string | true;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

export interface Calibrated extends Fitted {
  /** Null where it was not asked for, or the text ends before. */
  readonly measured: MeasuredGain | null;
}

/** Mean KL divergence from an f16 cache in nats, with and without the calibration. */
export interface MeasuredGain {
  readonly kv: string;
  readonly kldWithout: number;
  readonly kldWith: number;
  readonly tokens: number;
}

/** Without sinks and window all tokens are read as codes, which is what a calibration improves. */
const MEASURED_KV = "k4v4,sinks=0,window=0";

/**
 * Vectors are taken from an exact cache, whatever the format of `llm`.
 * @throws TurboQuantError invalid_argument — a text too short; unsupported — a model that cannot be calibrated
 */
export async function calibrate(llm: LLM, options: CalibrateOptions): Promise<Calibrated> {
  const { text, tokens, signal, onProgress, check } = options;
  const { maxPositionEmbeddings } = llm.config;
  const ctx = Math.min(options.ctx, maxPositionEmbeddings);
  const { sequences, rest } = calibrationSequences(llm.tokenizer, text, { tokens, ctx });
  const source = await llm.reopen();
  let fitted: Fitted | null;
  try {
    fitted = await fitCalibration(llm.decoder, {
      sequences,
      positions: options.positions ?? maxPositionEmbeddings,
      readOutput: outputReader(await openCheckpoint(source)),
      signal,
      onProgress,
    });
  } finally {
    await source.close();
  }
  assert(fitted, "nothing ends a calibration without an error");
  const unseen = typeof check === "string" ? textChunks(llm.tokenizer, check, ctx, 1)[0]! : rest.subarray(0, ctx);
  const isMeasured = check !== undefined && unseen.length === ctx;
  return { ...fitted, measured: isMeasured ? await measureGain(llm, fitted.layers, unseen, options) : null };
}

async function measureGain(
  llm: LLM,
  layers: readonly (LayerCalibration | null)[],
  tokens: Int32Array,
  { signal, onProgress }: CalibrateOptions,
): Promise<MeasuredGain> {
  const spec = parseKvSpec(MEASURED_KV);
  const decoders = [
    llm.decoder.withFormat(parseKvSpec("f16")),
    llm.decoder.withFormat(spec),
    llm.decoder.withFormat(spec, layers),
  ];
  try {
    const [base, ...others] = decoders.map((decoder) => makeContender(decoder, tokens.length)) as [
      Contender,
      Contender,
    ];
    const records = others.map(emptyRecord);
    const total = tokens.length * decoders.length;
    await compareOnTokens(tokens, base, emptyRecord(), others, records, {
      signal,
      onTokens: (done) => onProgress?.({ phase: "eval", item: "measuring", done, total, unit: "tokens" }),
    });
    const [kldWithout, kldWith] = records.map(({ klds }) => klds.reduce((sum, x) => sum + x, 0) / klds.length);
    return { kv: MEASURED_KV, kldWithout: kldWithout!, kldWith: kldWith!, tokens: tokens.length };
  } finally {
    for (const decoder of decoders) decoder.dispose();
  }
}
