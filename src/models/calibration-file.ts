/** @file Reads and writes the KV calibration of a checkpoint, a small safetensors file (docs/formats/kv-calibration.md). */
import { TurboQuantError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { FileSource } from "../formats/file-source.ts";
import { openSafetensors, type SafetensorsFile } from "../formats/safetensors.ts";
import { type TensorToWrite, writeSafetensors } from "../formats/write-safetensors.ts";
import { crc32c } from "../math/crc32c.ts";
import { fromFloat16Bits, toFloat16Bits } from "../math/float16.ts";
import { calibrationShelf, type PlacedFile } from "../platform.ts";
import type { LayerCalibration, SideCalibration } from "../quant/calibration.ts";
import type { ModelConfig } from "./config.ts";
import { layoutOf, stateShapes } from "./layout.ts";

/** Name of the calibration file in the directory of a checkpoint that has it for itself. */
export const CALIBRATION_FILE = "kv_calibration.safetensors";
/** Name of the calibration file of a model: a folder may hold several GGUF files, so theirs begins with the file's name. */
export const calibrationFileOf = ({ stem }: Pick<Checkpoint, "stem">): string =>
  stem === null ? CALIBRATION_FILE : `${stem}.${CALIBRATION_FILE}`;
/** Version of the file format; files of other versions are refused. */
const CALIBRATION_VERSION = "1";

type Calibrated = Pick<Checkpoint, "stem" | "fingerprint">;
/** Of the heads of one layer. */
interface HeadsShape {
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Of values; absent: that of keys. */
  readonly valueDim?: number | undefined;
}

interface Shape {
  /** By layer of the model; null for those that a calibration has nothing of. */
  readonly layers: readonly (HeadsShape | null)[];
}

/** What a model's calibration file is read by: the layers with keys and values of heads, which latent attention does not have. */
export function calibratedShape(config: ModelConfig): Shape {
  const layers = Array.from({ length: config.numLayers }, (): HeadsShape | null => null);
  for (const { layer, shape } of stateShapes(layoutOf(config)))
    if (shape.kind === "kv" && !shape.rotaryKeyDim && !shape.isOneRow) layers[layer] = shape;
  return { layers };
}

function invalid(message: string, detail: Record<string, unknown> = {}): never {
  throw new TurboQuantError("invalid_file", message, detail);
}

/**
 * The calibration file that a model has, or null. One that was written beside a GGUF file under the name that a folder's has is
 * taken if it was made for that very file.
 */
export async function findCalibration(source: FileSource, model: Calibrated): Promise<string | null> {
  const own = calibrationFileOf(model);
  if (await source.has(own)) return own;
  if (own === CALIBRATION_FILE || !(await source.has(CALIBRATION_FILE))) return null;
  const { metadata } = await openSafetensors(source, CALIBRATION_FILE);
  return metadata["model_fingerprint"] === (await model.fingerprint()) ? CALIBRATION_FILE : null;
}

/** A calibration that was read. */
export interface ReadCalibration {
  /** One for each layer of the model; null for layers without one. */
  readonly layers: (LayerCalibration | null)[];
  /** Where it was found, for messages; null for none. */
  readonly from: string | null;
  /** Positions of the longest context that it was made for; null where its file does not say. */
  readonly positions: number | null;
}

/** See `readCalibration`. */
export async function loadCalibration(
  source: FileSource,
  choice: string,
  config: Shape,
  model: Calibrated,
): Promise<(LayerCalibration | null)[]> {
  return (await readCalibration(source, choice, config, model)).layers;
}

/**
 * choice: `off` for none; `auto` for the model's own file if it has one, in the checkpoint or on this machine; otherwise a path, or the
 * name of a file in the checkpoint
 * model: whose it must be, by the fingerprint that the file carries
 * @throws TurboQuantError invalid_file — named but absent, damaged, or made for another model, version or shape
 */
export async function readCalibration(
  source: FileSource,
  choice: string,
  config: Shape,
  model: Calibrated,
): Promise<ReadCalibration> {
  const none = config.layers.map(() => null);
  const place = choice === "off" ? null : await placeCalibration(source, choice, model);
  if (!place) return { layers: none, from: null, positions: null };
  try {
    return await readPlaced(place, config, model);
  } finally {
    if (place.source !== source) await place.source.close();
  }
}

/**
 * Where the calibration lies that a choice other than `off` means, or null for a model without one. A source other than `source` is for
 * the caller to close.
 * @throws TurboQuantError invalid_file — named but absent
 */
async function placeCalibration(source: FileSource, choice: string, model: Calibrated): Promise<PlacedFile | null> {
  const shelf = calibrationShelf();
  if (choice === "auto") {
    const file = await findCalibration(source, model);
    return file === null ? ((await shelf?.find(await model.fingerprint())) ?? null) : { source, file };
  }
  const named = await shelf?.open(choice);
  if (named) return named;
  if (await source.has(choice)) return { source, file: choice };
  invalid(
    `calibration: there is no file ${choice}, and ${choice} is not in ${source.name}; drop calibration=, or make it with: turboquant calibrate --out ${choice}`,
  );
}

/** Whether a model has a calibration of its own. */
export async function hasCalibration(source: FileSource, model: Calibrated): Promise<boolean> {
  const place = await placeCalibration(source, "auto", model);
  if (place && place.source !== source) await place.source.close();
  return place !== null;
}

async function readPlaced({ source, file }: PlacedFile, config: Shape, model: Calibrated): Promise<ReadCalibration> {
  const tensors = await openSafetensors(source, file);
  const { turboquant_kv_calibration: version, model_fingerprint: madeFor, checksum, positions } = tensors.metadata;
  if (version !== CALIBRATION_VERSION) {
    invalid(
      `${file}: expected a KV calibration of version ${CALIBRATION_VERSION}, got ${version ?? "a file without one"}; calibrate this model again`,
      { version },
    );
  }
  const own = await model.fingerprint();
  if (madeFor !== own) {
    invalid(
      `${file}: made for another model (fingerprint ${madeFor?.slice(0, 12)}…, this one has ${own.slice(0, 12)}…); run turboquant calibrate --force, or pass calibration=off`,
      { expected: own, got: madeFor },
    );
  }
  const layers: (LayerCalibration | null)[] = config.layers.map(() => null);
  const sum = new Checksum();
  for (const [layer, shape] of config.layers.entries())
    if (shape) layers[layer] = await readLayer(tensors, file, layer, shape, sum);
  // Files that were written before there were checksums have none.
  if (checksum !== undefined && checksum !== sum.text) {
    invalid(
      `${file}: the checksum is ${sum.text}, and the file says ${checksum}: it is damaged; run turboquant calibrate --force, or pass calibration=off`,
      { expected: checksum, got: sum.text },
    );
  }
  const known = Number(positions);
  return { layers, from: `${source.name}/${file}`, positions: Number.isInteger(known) && known > 0 ? known : null };
}

/** Over the bytes of the tensors, one after the other as they are written. */
class Checksum {
  #crc = 0;

  add(bytes: Uint8Array): void {
    this.#crc = crc32c(bytes, this.#crc);
  }

  get text(): string {
    return `crc32c:${this.#crc.toString(16).padStart(8, "0")}`;
  }
}

async function readLayer(
  tensors: SafetensorsFile,
  file: string,
  layer: number,
  { numKvHeads, headDim, valueDim = headDim }: HeadsShape,
  sum: Checksum,
): Promise<LayerCalibration> {
  const read = async (what: string, dtype: "f16" | "f32", shape: readonly number[]): Promise<Float32Array> => {
    const name = `layers.${layer}.${what}`;
    const info = tensors.tensors.get(name);
    if (info?.dtype !== dtype || String(info.shape) !== String(shape)) {
      invalid(
        `${file}: ${name}: expected ${dtype} [${shape}], got ${info ? `${info.dtype} [${info.shape}]` : "nothing"}; calibrate this model again`,
      );
    }
    const bytes = (await tensors.read(name)).slice();
    sum.add(bytes);
    const { buffer } = bytes;
    return dtype === "f32" ? new Float32Array(buffer) : Float32Array.from(new Uint16Array(buffer), fromFloat16Bits);
  };
  const heads = [numKvHeads, headDim];
  // In the order in which they are written, which the checksum follows.
  const side = async (name: "key" | "value", dim: number): Promise<SideCalibration> => {
    const metric = await read(`${name}_metric`, "f32", [numKvHeads, dim]);
    return { transform: await read(`${name}_transform`, "f16", [numKvHeads, dim, dim]), metric };
  };
  const calibration = {
    keyMean: await read("key_mean", "f32", heads),
    balance: await read("balance", "f32", heads),
    key: await side("key", headDim),
    value: await side("value", valueDim),
  };
  const positive = [calibration.balance, calibration.key.metric, calibration.value.metric];
  const finite = [calibration.keyMean, calibration.key.transform, calibration.value.transform];
  if (
    !positive.every((values) => values.every((x) => x > 0 && x < 1e6)) ||
    !finite.every((v) => v.every(Number.isFinite))
  ) {
    invalid(
      `${file}: layer ${layer}: balances and metrics must be positive, everything else finite; calibrate this model again`,
    );
  }
  return calibration;
}

/** The bytes of a calibration file; null for layers without keys and values. `metadata` goes into the header, beside version and fingerprint. */
export function writeCalibration(
  layers: readonly (LayerCalibration | null)[],
  { layers: shapes }: Shape,
  fingerprint: string,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const floats = (values: Float32Array, shape: readonly number[]): TensorToWrite => ({
    dtype: "f32",
    shape,
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  });
  const halves = (values: Float32Array, shape: readonly number[]): TensorToWrite => ({
    dtype: "f16",
    shape,
    data: new Uint8Array(Uint16Array.from(values, toFloat16Bits).buffer),
  });
  const tensors: Record<string, TensorToWrite> = {};
  for (const [layer, calibration] of layers.entries()) {
    const shape = shapes[layer];
    if (!calibration || !shape) continue;
    const { numKvHeads, headDim, valueDim = headDim } = shape;
    const { keyMean, balance, key, value } = calibration;
    const at = `layers.${layer}`;
    tensors[`${at}.key_mean`] = floats(keyMean, [numKvHeads, headDim]);
    tensors[`${at}.balance`] = floats(balance, [numKvHeads, headDim]);
    for (const [name, side, dim] of [
      ["key", key, headDim],
      ["value", value, valueDim],
    ] as const) {
      if (!side) continue;
      tensors[`${at}.${name}_metric`] = floats(side.metric, [numKvHeads, dim]);
      tensors[`${at}.${name}_transform`] = halves(side.transform, [numKvHeads, dim, dim]);
    }
  }
  const sum = new Checksum();
  for (const { data } of Object.values(tensors)) sum.add(data);
  return writeSafetensors(tensors, {
    ...metadata,
    turboquant_kv_calibration: CALIBRATION_VERSION,
    model_fingerprint: fingerprint,
    checksum: sum.text,
  });
}

/**
 * Appended to the fingerprint of a calibrated model: its pages hold mapped keys and values, which another calibration would misread.
 */
export function calibrationTag(layers: readonly (LayerCalibration | null)[]): string {
  let crc = 0;
  for (const layer of layers) {
    if (!layer) continue;
    const { keyMean, balance, key, value } = layer;
    for (const array of [keyMean, balance, key?.transform, key?.metric, value?.transform, value?.metric]) {
      if (array) crc = crc32c(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), crc);
    }
  }
  return layers.some(Boolean) ? `+calibration:${crc.toString(16)}` : "";
}
