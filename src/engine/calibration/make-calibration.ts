/** @file Makes the calibration of a model that has none, from the text of the package, and keeps it for later loads. */
import { TurboQuantError } from "../../errors.ts";
import { formatCount, significant } from "../../format-number.ts";
import type { Checkpoint } from "../../formats/checkpoint.ts";
import type { FileSource } from "../../formats/file-source.ts";
import { calibratedShape, calibrationFileOf, writeCalibration } from "../../models/calibration-file.ts";
import type { Decoder } from "../../models/decoder.ts";
import { calibrationShelf, type OnProgress } from "../../platform.ts";
import type { LayerCalibration } from "../../quant/calibration.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { calibratedLayers } from "./calibrated-layers.ts";
import { calibrationSequences, MIN_TOKENS } from "./calibration-sequences.ts";
import { type Fitted, fitCalibration } from "./fit-calibration.ts";
import { outputReader } from "./output-reader.ts";

/** The longest time that a calibration may take nobody asked for. */
const DEFAULT_SECONDS = 60;

export interface MakeCalibrationOptions {
  readonly maxSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

export interface MadeCalibration {
  /** One for each layer of the model; null when none was made. */
  readonly layers: (LayerCalibration | null)[] | null;
  /** In one line: how long it took and where it lies, or why there is none. */
  readonly note: string;
}

interface Model {
  readonly decoder: Decoder;
  readonly tokenizer: Tokenizer;
  readonly checkpoint: Checkpoint;
  readonly source: FileSource;
}

const skipped = (why: string): MadeCalibration => ({ layers: null, note: `calibration: none was made: ${why}` });

/**
 * Everything that stands against a calibration is a note, because the model works without one.
 * @throws what `signal` aborts with, and errors that are no fault of model, text or memory
 */
export async function makeCalibration(model: Model, options: MakeCalibrationOptions): Promise<MadeCalibration> {
  const { decoder, tokenizer, checkpoint } = model;
  const found = calibratedLayers(decoder.config);
  if (typeof found === "string") return skipped(found);
  const startedAt = performance.now();
  const maxSeconds = options.maxSeconds ?? DEFAULT_SECONDS;
  let estimate = 0;
  try {
    const { CALIBRATION_TEXT, CALIBRATION_TEXT_NAME } = await import("./calibration-text.ts");
    const { maxPositionEmbeddings } = decoder.config;
    const { sequences } = calibrationSequences(tokenizer, CALIBRATION_TEXT, {
      tokens: MIN_TOKENS,
      ctx: maxPositionEmbeddings,
    });
    const fitted = await fitCalibration(decoder, {
      sequences,
      positions: maxPositionEmbeddings,
      readOutput: outputReader(checkpoint),
      signal: options.signal,
      onProgress: options.onProgress,
      onEstimate: (seconds) => {
        estimate = seconds;
        return seconds <= maxSeconds;
      },
    });
    if (!fitted) {
      return skipped(
        `it would take about ${significant(estimate)} s, more than ${maxSeconds}; turboquant calibrate makes one`,
      );
    }
    const where = await keep(model, fitted, CALIBRATION_TEXT_NAME);
    const seconds = (performance.now() - startedAt) / 1000;
    return {
      layers: [...fitted.layers],
      note: `calibration: made for this model in ${significant(seconds)} s from ${formatCount(fitted.tokens)} tokens, ${where}; without: calibration=off`,
    };
  } catch (error) {
    if (options.signal?.aborted || !(error instanceof TurboQuantError)) throw error;
    return skipped(error.message);
  }
}

/** Where the file lies; a model is calibrated without one as well. */
async function keep({ decoder, checkpoint, source }: Model, fitted: Fitted, text: string): Promise<string> {
  const shelf = calibrationShelf();
  if (!shelf) return "kept for now";
  const fingerprint = await checkpoint.fingerprint();
  const shape = calibratedShape(decoder.config);
  const bytes = writeCalibration(fitted.layers, shape, fingerprint, calibrationMetadata(fitted, text));
  try {
    return `kept in ${await shelf.keep(source, calibrationFileOf(checkpoint), fingerprint, bytes)}`;
  } catch (error) {
    if (!(error instanceof TurboQuantError)) throw error;
    return `and not kept (${error.message})`;
  }
}

/** What a calibration's file says of how it was made. text: name of what was read */
export const calibrationMetadata = ({ tokens, positions }: Fitted, text: string): Record<string, string> => ({
  tokens: String(tokens),
  positions: String(positions),
  text,
});
