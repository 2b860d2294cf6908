/** @file Reads what a plan needs of a checkpoint: config.json, and the headers of its weights where it has any. */
import type { WeightType } from "../backends/ops.ts";
import type { FileSource } from "../formats/file-source.ts";
import { readJson } from "../formats/json-file.ts";
import { type Checkpoint, openCheckpoint } from "../formats/safetensors.ts";
import type { ModelConfig } from "../models/config.ts";
import { modelOfConfig, type PlannedModel, plannedModel } from "./planned-model.ts";

const WEIGHT_FILES = ["model.safetensors", "model.safetensors.index.json"];

/**
 * Reads config.json and, of a model that this package runs, the headers of the safetensors files: kilobytes of a
 * checkpoint of gigabytes. Without weights the type they are stored in is the config's word.
 * @throws TurboQuantError invalid_file, unsupported — as `plannedModel`
 */
export async function readPlannedModel(source: FileSource): Promise<PlannedModel> {
  const json = await readJson(source, "config.json");
  const model = { ...plannedModel(json, `${source.name}/config.json`), name: source.name };
  if (!model.runs) return model;
  const present = await Promise.all(WEIGHT_FILES.map((file) => source.has(file)));
  if (!present.includes(true)) return model;
  return { ...model, ...storedTypesOf(await openCheckpoint(source)) };
}

/** A model that this package runs, with the types of its tensors. */
export function modelOfCheckpoint(config: ModelConfig, name: string, checkpoint: Checkpoint): PlannedModel {
  return { ...modelOfConfig(config, name), ...storedTypesOf(checkpoint) };
}

function storedTypesOf({ tensors }: Checkpoint): Pick<PlannedModel, "storedType" | "storedTypeOf"> {
  const storedTypeOf = new Map<string, WeightType>();
  const bytesByType = new Map<WeightType, number>();
  for (const { name, dtype, numBytes } of tensors.values()) {
    storedTypeOf.set(name, dtype);
    bytesByType.set(dtype, (bytesByType.get(dtype) ?? 0) + numBytes);
  }
  const [most] = [...bytesByType].sort((a, b) => b[1] - a[1]);
  return { storedTypeOf, storedType: most?.[0] ?? "bf16" };
}
