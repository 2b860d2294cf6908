/** @file Reads a model's KV calibration: key means and q/k balances, one pair a layer. */
import { TurboQuantError } from "../errors.ts";
import type { FileSource } from "../formats/file-source.ts";
import { openCheckpoint } from "../formats/safetensors.ts";
import { crc32c } from "../math/crc32c.ts";
import type { LayerCalibration } from "../quant/calibration.ts";
import type { ModelConfig } from "./config.ts";

/** The file a checkpoint directory may carry. Tensors `layers.N.key_mean` and `layers.N.balance`, f32 [numKvHeads, headDim]. */
export const CALIBRATION_FILE = "kv_calibration.safetensors";

/**
 * choice: `off` → none; `auto` → the checkpoint's own file if there is one; otherwise a file name in the checkpoint.
 * @throws TurboQuantError invalid_file — asked for and absent, or not of this model's shape
 */
export async function loadCalibration(
  source: FileSource,
  choice: string,
  config: ModelConfig,
): Promise<(LayerCalibration | null)[]> {
  const none = Array.from({ length: config.numLayers }, () => null);
  if (choice === "off") return none;
  const file = choice === "auto" ? CALIBRATION_FILE : choice;
  if (!(await source.has(file))) {
    if (choice === "auto") return none;
    throw new TurboQuantError(
      "invalid_file",
      `calibration: ${file} is not in ${source.name}; drop calibration= or calibrate first`,
    );
  }
  const tensors = await openCheckpoint(source, file);
  const read = async (name: string): Promise<Float32Array> => {
    const info = tensors.tensors.get(name);
    const expected = config.numKvHeads * config.headDim;
    const size = info?.shape.reduce((a, b) => a * b, 1);
    if (info?.dtype !== "f32" || size !== expected) {
      throw new TurboQuantError(
        "invalid_file",
        `${file}: ${name}: expected f32 [${config.numKvHeads}, ${config.headDim}], got ${info ? `${info.dtype} [${info.shape}]` : "nothing"}; calibrate this model again`,
      );
    }
    return new Float32Array((await tensors.read(name)).slice().buffer);
  };
  const layers: LayerCalibration[] = [];
  for (let layer = 0; layer < config.numLayers; layer++) {
    const calibration = {
      keyMean: await read(`layers.${layer}.key_mean`),
      balance: await read(`layers.${layer}.balance`),
    };
    if (!calibration.balance.every((r) => r > 0 && r < 1e4) || !calibration.keyMean.every(Number.isFinite)) {
      throw new TurboQuantError(
        "invalid_file",
        `${file}: layer ${layer}: balance must be positive and means finite; calibrate again`,
      );
    }
    layers.push(calibration);
  }
  return layers;
}

/** Ends the fingerprint of a calibrated model: its pages hold shifted and balanced keys, which another calibration misreads. */
export function calibrationTag(layers: readonly (LayerCalibration | null)[]): string {
  let crc = 0;
  for (const layer of layers) {
    for (const array of layer ? [layer.keyMean, layer.balance] : []) {
      crc = crc32c(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), crc);
    }
  }
  return layers.some(Boolean) ? `+calibration:${crc.toString(16)}` : "";
}
