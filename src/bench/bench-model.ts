/** @file The model to be measured: the decoder of a checkpoint, or of a public shape with random weights. */
import type { Ops, WeightType } from "../backends/ops.ts";
import type { BackendName } from "../backends/registry.ts";
import { checkFit } from "../engine/check-fit.ts";
import { createBackend } from "../engine/create-backend.ts";
import { LLM } from "../engine/llm.ts";
import { decodersFor } from "../eval/evaluate.ts";
import { type ModelConfig, parseModelConfig } from "../models/config.ts";
import { Decoder } from "../models/decoder.ts";
import { layerKindsOf, layoutOf } from "../models/layout.ts";
import type { Placement } from "../models/placement.ts";
import { RandomCheckpoint } from "../models/random-weights.ts";
import { shapeJson } from "../models/shapes.ts";
import { modelOfConfig } from "../plan/planned-model.ts";
import type { OnProgress } from "../platform.ts";
import { layerFormats } from "../quant/layer-formats.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";

export interface BenchModelOptions {
  readonly backend: BackendName | "auto";
  readonly threads?: number;
  readonly weights: WeightType | "auto";
  /** Formats that `decoders` will be called with; the choice of backend for `auto` depends on them. */
  readonly kv?: readonly string[];
  /** Number of layers of a shape to keep; all by default. */
  readonly layers?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

export interface BenchModel {
  readonly name: string;
  readonly config: ModelConfig;
  readonly ops: Ops;
  readonly weightBytes: number;
  /** One decoder for each spec, all over the same weights. */
  decoders(specs: readonly string[]): Promise<Decoder[]>;
  dispose(): Promise<void>;
}

/** Loads a checkpoint from wherever `LLM.load` would find it. */
export async function loadBenchModel(ref: string, options: BenchModelOptions): Promise<BenchModel> {
  const { layers: _, kv = [], ...load } = options;
  const llm = await LLM.load(ref, { ...load, kv: "f16", otherKv: kv });
  return {
    name: llm.name,
    config: llm.config,
    ops: llm.ops,
    weightBytes: llm.decoder.weightBytes,
    decoders: (specs) => decodersFor(llm, specs),
    dispose: () => llm.dispose(),
  };
}

/** Where a backend of several memories puts a model and caches of its whole context. */
function placementOf(ops: Ops, config: ModelConfig, { kv = ["f16"], weights }: BenchModelOptions): Placement | null {
  if (!ops.addMemory || !ops.memory) return null;
  const [first = "f16", ...otherKv] = kv;
  const model = { ...modelOfConfig(config, config.modelType), isCalibrated: false };
  const { name: backend, capabilities, memory } = ops;
  return checkFit({ model, backend, capabilities, memory, kv: first, otherKv, weights }).placement;
}

/** Makes a model of a public shape with random weights. */
export async function makeShapeModel(shape: string, options: BenchModelOptions): Promise<BenchModel> {
  const json = shapeJson(shape, options.layers);
  // What is wanted in f16 need not be converted, which for large shapes takes longer than anything that is measured.
  const checkpoint = new RandomCheckpoint(json, `shape ${shape}`, options.weights === "f16" ? "f16" : "bf16");
  const config = parseModelConfig(await checkpoint.config(), checkpoint.name);
  const ops = await createBackend(options.backend, {
    formats: layerFormats(options.kv ?? [], layerKindsOf(layoutOf(config))),
    ...(options.threads !== undefined && { threads: options.threads }),
  });
  try {
    const placement = placementOf(ops, config, options);
    const decoder = await Decoder.load(ops, checkpoint, {
      config,
      ...(placement && { placement }),
      kv: parseKvSpec("f16"),
      weights: options.weights,
      onBytes: (item, done, total) => options.onProgress?.({ phase: "load", item, done, total, unit: "bytes" }),
      ...(options.signal && { signal: options.signal }),
    });
    return {
      name: shape,
      config,
      ops,
      weightBytes: decoder.weightBytes,
      decoders: async (specs) => specs.map((spec) => decoder.withFormat(parseKvSpec(spec))),
      dispose: async () => {
        decoder.dispose();
        await ops.dispose();
      },
    };
  } catch (error) {
    await ops.dispose();
    throw error;
  }
}
