/** @file Bytes of a model's weights, as each backend stores them. */
import type { WeightType } from "../backends/ops.ts";
import { type BackendName, plannedBackend } from "../backends/registry.ts";
import { WINDOW_BYTES } from "../formats/read-ahead.ts";
import { type KeptRun, keptRuns, keptType } from "../weights/kept-type.ts";
import { weightFormat } from "../weights/registry.ts";
import { matrixBytes } from "../weights/weight-format.ts";
import type { PlannedModel, PlannedWeight } from "./model-memory.ts";
import type { ModelParts } from "./placement.ts";

export interface WeightMemory {
  /** The requested type; for `auto`, the type that most of the checkpoint has. */
  readonly type: WeightType;
  readonly parameters: number;
  /** Bytes on the backend, in one memory; a tied head and what layers share count once. */
  readonly bytes: number;
  /** The most bytes of the checkpoint in host memory while loading: what is read ahead, or the whole of a smaller one. */
  readonly loadingBytes: number;
  readonly parts: WeightParts;
}

/** Bytes of weights by the parts of a model that lie in one memory each. */
export type WeightParts = Pick<ModelParts, "embedding" | "layers" | "shared" | "head" | "isTied">;

/** @throws TurboQuantError unsupported — a backend whose memory is not planned, or a type without kernels */
export function weightMemory(model: PlannedModel, type: WeightType | "auto", backend: BackendName): WeightMemory {
  const { planner } = plannedBackend(backend);
  let parameters = 0;
  let bytes = 0;
  let loadingBytes = 0;
  const numLayers = model.numLayers ?? model.layers.length;
  const layers = Array.from({ length: numLayers }, () => 0);
  const shared = new Map<string, { bytes: number; readonly layers: readonly number[] }>();
  let embedding = 0;
  let head = 0;
  let embeddings = 0;
  for (const weight of model.weights) {
    const { use, rows, cols, count, layer, sharedBy = [], unit, tensors: named } = weight;
    parameters += rows * cols * count;
    let kept = 0;
    for (const run of runsOf(model, weight, type)) {
      const height = use === "vector" ? rows : sum(run.tensors.map((tensor) => tensor.rows));
      kept += planner.weightBytes(height, cols, run.type, unit) * count;
    }
    bytes += kept;
    if (sharedBy.length > 1) {
      const together = shared.get(sharedBy.join()) ?? { bytes: 0, layers: sharedBy };
      together.bytes += kept;
      shared.set(sharedBy.join(), together);
    } else if (layer !== undefined) layers[layer]! += kept;
    else if (use === "embedding" && embeddings++ === 0) embedding += kept;
    else if (use === "embedding" || named.length > 0) head += kept;
    // Of models that do not run here only the sizes are known: their layers are taken to be alike.
    else for (const index of layers.keys()) layers[index]! += kept / numLayers;
    const tensors = tensorsOf(model, weight);
    const storedBytes = Math.max(...tensors.map(({ stored }) => matrixBytes(weightFormat(stored), rows, cols)));
    loadingBytes = Math.min(WINDOW_BYTES, loadingBytes + storedBytes * count);
  }
  const parts = { embedding, layers, shared: [...shared.values()], head, isTied: embeddings < 2 };
  return { type: keptType("matrix", model.storedType, type), parameters, bytes, loadingBytes, parts };
}

/** The formats that the model's weights would be kept in. */
export function keptTypes(model: PlannedModel, type: WeightType | "auto"): WeightType[] {
  return [...new Set(model.weights.flatMap((weight) => runsOf(model, weight, type).map((run) => run.type)))];
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

interface PlannedTensor {
  readonly rows: number;
  readonly stored: WeightType;
}

const runsOf = (model: PlannedModel, weight: PlannedWeight, type: WeightType | "auto"): KeptRun<PlannedTensor>[] =>
  keptRuns(weight.use, tensorsOf(model, weight), ({ stored }) => stored, type);

/** The tensors that are stacked in this weight. */
function tensorsOf(
  { storedType, plainType = storedType, storedTypeOf }: PlannedModel,
  { tensors, rows, use }: PlannedWeight,
): PlannedTensor[] {
  if (tensors.length === 0) return [{ rows, stored: use === "matrix" ? storedType : plainType }];
  return tensors.map((tensor) => ({ rows: tensor.rows, stored: storedTypeOf?.get(tensor.name) ?? storedType }));
}
