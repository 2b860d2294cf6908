/** @file Reads from a config.json what a memory plan needs to know of the model. */
import type { WeightType } from "../backends/ops.ts";
import { TurboQuantError } from "../errors.ts";
import type { JsonObject } from "../formats/json-file.ts";
import { plannedQuantization } from "../formats/quantized/planned-type.ts";
import { sizeOf, useOf, type WeightSpec } from "../models/blocks/block.ts";
import { parseModelConfig } from "../models/config.ts";
import { ConfigFields } from "../models/config-fields.ts";
import {
  abilitiesOf,
  bufferWidths,
  endWeights,
  layerWeights,
  layoutOf,
  type ModelLayout,
  sharedStates,
  startWeights,
  stateShapes,
} from "../models/layout.ts";
import type { ModelConfig } from "../models/model-config.ts";
import { requirementsOf, supportedTypes } from "../models/registry.ts";
import type { PlannedModel, PlannedWeight } from "./model-memory.ts";

const TEXT_ONLY = "the text model alone: parts for image or sound inputs are not counted";

/**
 * json: a parsed config.json · name: for messages
 * @throws TurboQuantError invalid_file — a field is missing or wrong; unsupported — a model type whose cache is not K and V of
 * every token (state spaces), or one that is not known here
 */
export function plannedModel(json: unknown, name: string): PlannedModel {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new TurboQuantError("invalid_file", `${name}: expected a JSON object; this is no config.json`);
  }
  const fields = new ConfigFields(json as Readonly<Record<string, unknown>>, name);
  const modelType = fields.string("model_type");
  if (supportedTypes().includes(modelType)) {
    return quantized(modelOfConfig(parseModelConfig(json, name), name, storedTypeOf(fields)), json as JsonObject);
  }
  throw refusal(fields, modelType, name);
}

/** With the types that the config's quantization gives the tensors, where it has one. */
function quantized(model: PlannedModel, json: JsonObject): PlannedModel {
  const found = plannedQuantization(json);
  if (!found) return model;
  const { name, type, has } = found;
  const storedTypeOf = new Map<string, WeightType>();
  let embeddings = 0;
  for (const { use, tensors } of model.weights) {
    const part = use === "embedding" && embeddings++ > 0 ? "head" : use;
    for (const { name: tensor } of tensors) {
      const isQuantized = part !== "vector" && part !== "router" && has(tensor.replace(/\.weight$/, ""), part);
      storedTypeOf.set(tensor, isQuantized ? type : model.storedType);
    }
  }
  return {
    ...model,
    quantizedBy: name,
    storedType: type,
    plainType: model.storedType,
    storedTypeOf,
  };
}

/** A model with this config. */
export function modelOfConfig(config: ModelConfig, name: string, storedType: WeightType = "bf16"): PlannedModel {
  const layout = layoutOf(config);
  return {
    name,
    modelType: config.modelType,
    assumptions: config.isTextPart ? [TEXT_ONLY] : [],
    numLayers: config.numLayers,
    layers: stateShapes(layout).flatMap(({ shape, layer }) =>
      shape.kind === "kv" ? { ...shape, modelLayer: layer } : [],
    ),
    fixedStates: stateShapes(layout).flatMap(({ shape, layer }) =>
      shape.kind === "recurrent" ? { layer, bytes: shape.numBytes } : [],
    ),
    deltaRules: stateShapes(layout).flatMap(({ shape }) => (shape.kind === "recurrent" && shape.delta) || []),
    sharedLayers: sharedStates(layout),
    needs: abilitiesOf(layout),
    ...(chosenLists(config) > 0 && { chosenLists: chosenLists(config) }),
    hiddenSize: config.hiddenSize,
    numHeads: config.numHeads,
    expertsOfRow: Math.max(1, ...layerNumbers(config).map((layer) => config.expertsOf(layer)?.topK ?? 1)),
    activationWidth: sum(Object.values(bufferWidths(layout.layers, config.hiddenSize, layout))),
    vocabSize: config.vocabSize,
    maxPositionEmbeddings: config.maxPositionEmbeddings,
    weights: [
      ...startWeights(layout).map(plannedWeight),
      ...weightsOfLayers(layout.layers),
      ...endWeights(layout).map(plannedWeight),
    ],
    storedType,
  };
}

/** Weights that several layers have in common come with the first of them. */
function weightsOfLayers(layers: ModelLayout["layers"]): PlannedWeight[] {
  const shared = new Map<string, number[]>();
  return layers.flatMap((branches, layer) =>
    layerWeights(branches).flatMap((spec) => {
      const own = { ...plannedWeight(spec), layer };
      if (!spec.isShared) return own;
      const key = spec.tensors.map(({ name }) => name).join(" ");
      const known = shared.get(key);
      known?.push(layer);
      if (known) return [];
      const sharedBy = [layer];
      shared.set(key, sharedBy);
      return { ...own, sharedBy };
    }),
  );
}

/** Lists of tokens that an indexer chooses for a row; 0 where attention is to all. */
function chosenLists(config: ModelConfig): number {
  const byLayer = layerNumbers(config).map((layer) => config.attentionOf(layer).chosen?.lists ?? 0);
  return Math.max(config.traits.indexer ? 1 : 0, ...byLayer);
}

const layerNumbers = ({ numLayers }: ModelConfig): number[] => Array.from({ length: numLayers }, (_, layer) => layer);

/** A weight as the decoder stacks it. */
function plannedWeight({ role, tensors, ones = 0, copies = 0, unit = 1 }: WeightSpec): PlannedWeight {
  const use = useOf(role);
  const isVector = use === "vector";
  const sizes = tensors.map((tensor) => {
    const { rows, cols } = sizeOf(tensor);
    return { rows: tensor.order?.numRows ?? rows, cols };
  });
  const stacked = ones + copies + sum(sizes.map(({ rows, cols }) => (isVector ? rows * cols : rows)));
  return {
    tensors: tensors.map(({ name }, i) => ({ name, rows: sizes[i]!.rows + (i === 0 ? copies : 0) })),
    rows: isVector ? 1 : stacked,
    cols: isVector ? stacked : sizes[0]!.cols,
    use,
    unit,
    count: 1,
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** The type in which the checkpoint is stored, according to the config; bf16, like nearly all checkpoints, if it does not say. */
function storedTypeOf(fields: ConfigFields): WeightType {
  const dtype = fields.string(fields.has("dtype") ? "dtype" : "torch_dtype", "bfloat16");
  const types: Readonly<Record<string, WeightType>> = { float32: "f32", float16: "f16", bfloat16: "bf16" };
  return types[dtype] ?? "bf16";
}

function refusal(fields: ConfigFields, modelType: string, name: string): TurboQuantError {
  const known = requirementsOf(modelType);
  const nested = fields.object("text_config");
  const isLatent = fields.has("kv_lora_rank") || nested?.has("kv_lora_rank");
  const isHybrid = ["ssm_cfg", "mamba_d_state", "linear_num_value_heads", "state_size"].some((key) => fields.has(key));
  const what = isLatent
    ? `it caches one latent row a token and layer (MLA), and ${known ? `needs ${known}` : "the rest of its layers is not known here"}`
    : isHybrid || known?.includes("state-space")
      ? "only some of its layers have K and V; the others keep a state whose size and type are the implementation's"
      : known?.includes("encoder")
        ? `it needs ${known}`
        : `the sizes of its tensors are not known here${known ? ` (it needs ${known})` : ""}`;
  const plannable = supportedTypes().join(", ");
  return new TurboQuantError(
    "unsupported",
    `${name}: a ${modelType.slice(0, 60)} model cannot be planned: ${what}; plan knows ${plannable}`,
    { modelType },
  );
}
