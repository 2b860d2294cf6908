/** @file Bytes of a model's weights, as each backend stores them. */
import type { WeightType } from "../backends/ops.ts";
import { type BackendName, plannedBackend } from "../backends/registry.ts";
import { WINDOW_BYTES } from "../formats/read-ahead.ts";
import { keptType } from "../weights/kept-type.ts";
import { weightFormat } from "../weights/registry.ts";
import { matrixBytes } from "../weights/weight-format.ts";
import type { PlannedModel, PlannedWeight } from "./model-memory.ts";

export interface WeightMemory {
  /** The requested type; for `auto`, the type that most of the checkpoint has. */
  readonly type: WeightType;
  readonly parameters: number;
  /** Bytes on the backend; a tied head counts once. */
  readonly bytes: number;
  /** The most bytes of the checkpoint in host memory while loading: what is read ahead, or the whole of a smaller one. */
  readonly loadingBytes: number;
}

/** @throws TurboQuantError unsupported — a backend whose memory is not planned, or a type without kernels */
export function weightMemory(model: PlannedModel, type: WeightType | "auto", backend: BackendName): WeightMemory {
  const { planner } = plannedBackend(backend);
  let parameters = 0;
  let bytes = 0;
  let loadingBytes = 0;
  for (const weight of model.weights) {
    const { use, rows, cols, count } = weight;
    const stored = storedTypes(model, weight);
    parameters += rows * cols * count;
    bytes += planner.weightBytes(rows, cols, keptType(use, stored, type)) * count;
    const storedBytes = Math.max(...stored.map((each) => matrixBytes(weightFormat(each), rows, cols)));
    loadingBytes = Math.min(WINDOW_BYTES, loadingBytes + storedBytes * count);
  }
  return { type: keptType("matrix", [model.storedType], type), parameters, bytes, loadingBytes };
}

/** The formats that the model's weights would be kept in. */
export function keptTypes(model: PlannedModel, type: WeightType | "auto"): WeightType[] {
  return [...new Set(model.weights.map((weight) => keptType(weight.use, storedTypes(model, weight), type)))];
}

/** Formats of the tensors that are stacked in this weight. */
function storedTypes({ storedType, storedTypeOf }: PlannedModel, { names }: PlannedWeight): WeightType[] {
  return names.length === 0 ? [storedType] : names.map((name) => storedTypeOf?.get(name) ?? storedType);
}
