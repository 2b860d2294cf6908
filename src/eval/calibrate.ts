/** @file Calibrates a model's KV cache on a text: collects moments of queries, keys and values in each layer, and predicts the gain. */
import type { LLM } from "../engine/llm.ts";
import { TurboQuantError } from "../errors.ts";
import { openCheckpoint } from "../formats/open-checkpoint.ts";
import { readWeight } from "../models/checkpoint-weights.ts";
import { layoutOf, sharedStates } from "../models/layout.ts";
import type { OnProgress } from "../platform.ts";
import type { LayerCalibration } from "../quant/calibration.ts";
import { LayerMoments, type PredictedNoise } from "../quant/design-calibration.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { stackParts } from "../weights/weight-part.ts";
import { type Contender, compareOnTokens, emptyRecord, makeContender } from "./compare.ts";
import { captureVectors } from "./tap.ts";
import { textChunks } from "./text-chunks.ts";

export interface CalibrateOptions {
  readonly text: string;
  /** The most tokens to use; fewer when the text is shorter. */
  readonly tokens: number;
  /** Tokens in one sequence. */
  readonly ctx: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

export interface Calibrated {
  /** Null for layers without keys and values. */
  readonly layers: readonly (LayerCalibration | null)[];
  /** Layers that have keys and values. */
  readonly attentionLayers: readonly number[];
  /** Number of tokens used. */
  readonly tokens: number;
  /** [layer with keys and values][KV head]: noise with transform and error feedback over noise of a plain rotation, in the limit of many bits. */
  readonly predicted: readonly (readonly PredictedNoise[])[];
  /** The gain measured on the chunk after the calibration's; null when the text ends before. */
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

/** With fewer tokens the moments of a head would be mostly noise, so calibration is refused. */
const MIN_TOKENS = 1024;

/**
 * Vectors are taken from an exact cache, whatever the format of `llm`.
 * @throws TurboQuantError invalid_argument — ctx beyond the model's, or a text too short; unsupported — no keys and values
 */
export async function calibrate(llm: LLM, options: CalibrateOptions): Promise<Calibrated> {
  const { text, tokens, signal, onProgress } = options;
  const { numLayers, numHeads, numKvHeads, headDim, maxPositionEmbeddings } = llm.config;
  const ctx = Math.min(options.ctx, maxPositionEmbeddings);
  const chunks = Math.ceil(tokens / ctx);
  const all = textChunks(llm.tokenizer, text, ctx, chunks + 1);
  const pieces = all.slice(0, chunks);
  const unseen = all[chunks] ?? null;
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (total < MIN_TOKENS) {
    throw new TurboQuantError(
      "invalid_argument",
      `calibrate: expected a text of at least ${MIN_TOKENS} tokens, got ${total}; pass a longer one, or none to let the model write it`,
      { tokens: total },
    );
  }
  const differs =
    sharedStates(layoutOf(llm.config)).length > 0 ||
    llm.cache.layers.some(
      ({ main }) => main.headDim !== headDim || main.valueDim !== headDim || main.numKvHeads !== numKvHeads,
    );
  if (differs) {
    throw new TurboQuantError(
      "unsupported",
      `${llm.name}: a calibration has keys and values of one shape for each layer, and layers differ here; use this model without one`,
    );
  }
  const outputs = attentionOutputs(llm);
  const moments = outputs.map(() => new LayerMoments({ numHeads, numKvHeads, headDim }));
  let done = 0;
  for (const piece of pieces) {
    signal?.throwIfAborted();
    const vectors = await captureVectors(llm, piece, signal);
    for (const [layer, { queries, keys, values }] of vectors.entries()) moments[layer]!.add(queries, keys, values);
    done += piece.length;
    onProgress?.({ phase: "eval", item: "reading", done, total, unit: "tokens" });
  }
  const source = await llm.reopen();
  try {
    const checkpoint = await openCheckpoint(source);
    const layers: (LayerCalibration | null)[] = Array.from({ length: numLayers }, () => null);
    const predicted: (readonly PredictedNoise[])[] = [];
    for (const [index, own] of moments.entries()) {
      signal?.throwIfAborted();
      const { layer, name } = outputs[index]!;
      const designed = own.design(stackParts([await readWeight(checkpoint, name)]).data);
      layers[layer] = designed.calibration;
      predicted.push(designed.predicted);
      onProgress?.({ phase: "eval", item: "solving", done: index + 1, total: outputs.length, unit: "tensors" });
    }
    const measured = unseen && (await measureGain(llm, layers, unseen, options));
    return { layers, attentionLayers: outputs.map(({ layer }) => layer), tokens: total, predicted, measured };
  } finally {
    await source.close();
  }
}

/** The layers that have keys and values, each with the tensor that attention's output is multiplied by. */
function attentionOutputs({ config, name: model }: LLM): { readonly layer: number; readonly name: string }[] {
  const outputs = layoutOf(config).layers.flatMap((branches, layer) =>
    branches.flatMap(({ block }) => (block.state?.kind === "kv" ? { layer, output: block.weights["output"] } : [])),
  );
  const named = outputs.flatMap(({ layer, output }) => {
    const tensor = output?.tensors[0];
    return tensor && !tensor.isTransposed ? { layer, name: tensor.name } : [];
  });
  if (named.length > 0 && named.length === outputs.length) return named;
  throw new TurboQuantError(
    "unsupported",
    `calibrate: ${model} has ${outputs.length === 0 ? "no layer with keys and values" : "output projections that are stored in another way"}, so there is nothing to calibrate; run it with calibration=off`,
    { model: config.modelType },
  );
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
