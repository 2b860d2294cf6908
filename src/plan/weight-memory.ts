/** @file Bytes of a model's weights as each backend lays them out. */
import type { WeightType } from "../backends/ops.ts";
import { WasmWeight } from "../backends/wasm/wasm-weight.ts";
import { weightBuffers } from "../backends/webgpu/linear/gpu-weight.ts";
import { bufferBytes } from "../backends/webgpu/queue/buffers.ts";
import { DTYPE_BYTES } from "../backends/weights.ts";
import type { PlannedBackend } from "../backends/working-memory.ts";
import { embeddingType } from "../models/load-weights.ts";
import type { PlannedModel, PlannedWeight } from "./planned-model.ts";

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
    const { rows, cols, count } = weight;
    const wanted = isEmbedding(weight) ? embeddingType(type) : type;
    const as = weight.isVector ? "f32" : wanted === "auto" ? storedType(model, weight) : wanted;
    parameters += rows * cols * count;
    bytes += matrixBytes(rows, cols, as, backend, bindingLimit) * count;
    loadingBytes = Math.max(loadingBytes, rows * cols * bytesOfStored(storedType(model, weight)));
  }
  return { type: type === "auto" ? model.storedType : type, parameters, bytes, loadingBytes };
}

const isEmbedding = ({ names }: PlannedWeight): boolean =>
  names.some((name) => name === "model.embed_tokens.weight" || name === "lm_head.weight");

/** As the decoder chooses: f32 where stacked tensors are of different types. */
function storedType({ storedType, storedTypeOf }: PlannedModel, { names }: PlannedWeight): WeightType {
  const types = new Set(names.map((name) => storedTypeOf?.get(name) ?? storedType));
  return types.size === 0 ? storedType : types.size === 1 ? [...types][0]! : "f32";
}

const bytesOfStored = (type: WeightType): number =>
  type in DTYPE_BYTES ? DTYPE_BYTES[type as keyof typeof DTYPE_BYTES] : 2;

function matrixBytes(
  rows: number,
  cols: number,
  type: WeightType,
  backend: PlannedBackend,
  bindingLimit: number,
): number {
  if (backend === "wasm") return new WasmWeight(rows, cols, type, 0).numBytes;
  return weightBuffers(rows, cols, type, bindingLimit).reduce(
    (sum, { wordBytes, scaleBytes }) => sum + bufferBytes(wordBytes) + (scaleBytes > 0 ? bufferBytes(scaleBytes) : 0),
    0,
  );
}
