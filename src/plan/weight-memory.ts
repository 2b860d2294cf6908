/** @file Bytes of a model's weights as each backend lays them out. */
import type { WeightType } from "../backends/ops.ts";
import { weightLayout } from "../backends/wasm/weight-layout.ts";
import { weightBuffers } from "../backends/webgpu/linear/weight-buffers.ts";
import { bufferBytes } from "../backends/webgpu/queue/buffer-bytes.ts";
import type { PlannedBackend } from "../backends/working-memory.ts";
import { keptType } from "../weights/kept-type.ts";
import { weightFormat } from "../weights/registry.ts";
import { matrixBytes } from "../weights/weight-format.ts";
import type { PlannedModel, PlannedWeight } from "./model-memory.ts";

export interface WeightMemory {
  /** As asked for; `auto` is resolved to the type that the checkpoint mostly has. */
  readonly type: WeightType;
  readonly parameters: number;
  /** On the backend; a tied head counts once. */
  readonly bytes: number;
  /**
   * Read into memory at once while loading, besides what is on the backend already: the largest matrix, as stored.
   */
  readonly loadingBytes: number;
}

/** bindingLimit: most bytes of one device buffer, where larger matrices are cut */
export function weightMemory(
  model: PlannedModel,
  type: WeightType | "auto",
  backend: PlannedBackend,
  bindingLimit: number,
): WeightMemory {
  let parameters = 0;
  let bytes = 0;
  let loadingBytes = 0;
  for (const weight of model.weights) {
    const { use, rows, cols, count } = weight;
    const stored = storedTypes(model, weight);
    parameters += rows * cols * count;
    bytes += bytesOn(backend, rows, cols, keptType(use, stored, type), bindingLimit) * count;
    for (const each of stored) loadingBytes = Math.max(loadingBytes, matrixBytes(weightFormat(each), rows, cols));
  }
  return { type: keptType("matrix", [model.storedType], type), parameters, bytes, loadingBytes };
}

/** The formats that the model's weights would be kept in. */
export function keptTypes(model: PlannedModel, type: WeightType | "auto"): WeightType[] {
  return [...new Set(model.weights.map((weight) => keptType(weight.use, storedTypes(model, weight), type)))];
}

/** Of the tensors that are stacked in the weight. */
function storedTypes({ storedType, storedTypeOf }: PlannedModel, { names }: PlannedWeight): WeightType[] {
  return names.length === 0 ? [storedType] : names.map((name) => storedTypeOf?.get(name) ?? storedType);
}

function bytesOn(backend: PlannedBackend, rows: number, cols: number, type: WeightType, bindingLimit: number): number {
  if (backend === "wasm") return weightLayout(rows, cols, type).numBytes;
  return weightBuffers(rows, cols, type, bindingLimit).reduce(
    (sum, { wordBytes, scaleBytes }) => sum + bufferBytes(wordBytes) + (scaleBytes > 0 ? bufferBytes(scaleBytes) : 0),
    0,
  );
}
