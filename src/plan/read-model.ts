/** @file Reads what a plan needs of a checkpoint: config.json, and the headers of its weights if there are any. */
import type { WeightType } from "../backends/ops.ts";
import type { TensorInfo } from "../formats/checkpoint.ts";
import type { FileSource } from "../formats/file-source.ts";
import { openCheckpoint } from "../formats/open-checkpoint.ts";
import { findCalibration } from "../models/calibration-file.ts";
import type { ModelConfig } from "../models/config.ts";
import type { PlannedModel } from "./model-memory.ts";
import { modelOfConfig, plannedModel } from "./planned-model.ts";

/**
 * Reads config.json and the headers of the weights: kilobytes of a checkpoint of
 * gigabytes. Without weights the config decides the stored type.
 * @throws TurboQuantError invalid_file, unsupported — as `plannedModel`
 */
export async function readPlannedModel(source: FileSource): Promise<PlannedModel> {
  const checkpoint = await openCheckpoint(source);
  const model = {
    ...plannedModel(await checkpoint.config(), checkpoint.configFile),
    name: checkpoint.modelName,
    ...(checkpoint.container === "gguf" && { isGguf: true }),
  };
  if (checkpoint.container === null) return model;
  const isCalibrated = (await findCalibration(source, checkpoint)) !== null;
  // The headers say more than the config does.
  const { quantizedBy: _, ...known } = model;
  return { ...known, ...storedTypesOf(await checkpoint.tensors()), isCalibrated };
}

/** A model with the types of its tensors. */
export function modelOfCheckpoint(
  config: ModelConfig,
  name: string,
  tensors: ReadonlyMap<string, TensorInfo>,
): PlannedModel {
  return { ...modelOfConfig(config, name), ...storedTypesOf(tensors) };
}

function storedTypesOf(tensors: ReadonlyMap<string, TensorInfo>): Pick<PlannedModel, "storedType" | "storedTypeOf"> {
  const storedTypeOf = new Map<string, WeightType>();
  const bytesByType = new Map<WeightType, number>();
  for (const { name, dtype, numBytes } of tensors.values()) {
    storedTypeOf.set(name, dtype);
    bytesByType.set(dtype, (bytesByType.get(dtype) ?? 0) + numBytes);
  }
  const [most] = [...bytesByType].sort((a, b) => b[1] - a[1]);
  return { storedTypeOf, storedType: most?.[0] ?? "bf16" };
}
