/** @file Collects the text of the WebGPU kernels that a model, a KV format and an adapter's features lead to. */

import { ABILITIES } from "../../backends/capabilities.ts";
import type { WeightType } from "../../backends/ops.ts";
import { DescribedBackend } from "../../backends/webgpu/described-backend.ts";
import type { DescribedFeatures } from "../../backends/webgpu/device/described-device.ts";
import { shaderName } from "../../backends/webgpu/queue/shader-text.ts";
import { WARM_UP_DRAWS } from "../../engine/llm.ts";
import { TurboQuantError } from "../../errors.ts";
import type { Checkpoint, TensorInfo } from "../../formats/checkpoint.ts";
import { MemorySource } from "../../formats/memory-source.ts";
import type { ModelConfig } from "../../models/config.ts";
import { Decoder } from "../../models/decoder.ts";
import { abilitiesOf, layoutOf, tensorSpecs } from "../../models/layout.ts";
import type { LayerCalibration } from "../../quant/calibration.ts";
import type { KvSpec } from "../../quant/parse-kv-spec.ts";
import { formatWgsl } from "./format-wgsl.ts";

export type { DescribedFeatures };

export interface KernelRequest {
  readonly config: ModelConfig;
  readonly kv: KvSpec;
  readonly calibration: readonly (LayerCalibration | null)[];
  readonly weights: WeightType | "auto";
  /** The format in which the checkpoint stores a tensor. */
  readonly storedType: (tensor: string) => WeightType;
  readonly features: DescribedFeatures;
  /** Number of tokens of the longest sequence. */
  readonly contextLength: number;
}

export interface KernelText {
  /** Name of the kernel: its file's name, with a number if the file has several kernels. */
  readonly name: string;
  /** Its `.wgsl` file. */
  readonly file: string;
  /** The label that `--explain` uses. */
  readonly label: string;
  /** The constants in which this kernel differs from others of the same file. */
  readonly differs: string;
  /** The formatted WGSL. */
  readonly code: string;
}

/** A kernel as it is compiled: the name of its file, its label, and its WGSL without indentation. */
export type KernelCode = Pick<KernelText, "file" | "label" | "code">;

/** The kernels by name, formatted. @throws TurboQuantError — as `kernelCodes` */
export async function kernelTexts(request: KernelRequest): Promise<KernelText[]> {
  return named(await kernelCodes(request));
}

/**
 * Runs the warm-up of `LLM.load` over a device that exists only as a description, so that no separate list of kernels is needed.
 * @throws TurboQuantError unsupported — no kernel for the format, or for what a block of the model needs
 */
export async function kernelCodes(request: KernelRequest): Promise<KernelCode[]> {
  const made = new Map<string, string>();
  const backend = new DescribedBackend(request.features, (label, code) => made.set(code, label));
  await warmUpDescribed(backend, request);
  return [...made].map(([code, label]) => ({ file: shaderName(code), label, code }));
}

/** @throws TurboQuantError — as `kernelCodes` */
export async function warmUpDescribed(backend: DescribedBackend, request: KernelRequest): Promise<void> {
  const { config, kv, calibration, weights, storedType, contextLength } = request;
  for (let layer = 0; layer < config.numLayers; layer++) {
    for (const isIndex of [false, true]) backend.capabilities.checkKv(kv.forLayer(layer, isIndex));
  }
  const missing = abilitiesOf(layoutOf(config)).find((ability) => !backend.capabilities[ability]);
  if (missing) {
    throw new TurboQuantError(
      "unsupported",
      `the webgpu backend has no kernel for ${ABILITIES[missing]} (${config.modelType}); run it with --backend wasm`,
    );
  }
  const decoder = await Decoder.load(backend, withoutWeights(config, storedType), { config, kv, weights, calibration });
  const { chunkTokens } = backend;
  await decoder.warmUp(decoder.createCache(), { chunkTokens, contextLength }, WARM_UP_DRAWS);
}

/** A checkpoint with all tensors of the model, but without any bytes. */
function withoutWeights(config: ModelConfig, storedType: (tensor: string) => WeightType): Checkpoint {
  const name = "described weights";
  const tensors = new Map<string, TensorInfo>();
  for (const tensor of tensorSpecs(layoutOf(config)).values()) {
    tensors.set(tensor.name, { ...tensor, dtype: storedType(tensor.name), numBytes: 0, file: name, isFinite: true });
  }
  return {
    name,
    modelName: name,
    configFile: name,
    stem: null,
    container: null,
    files: new MemorySource({}, name),
    config: async () => ({}),
    tensors: async () => tensors,
    read: async () => new Uint8Array(0),
    fingerprint: async () => name,
  };
}

const constantsOf = (code: string): Map<string, string> =>
  new Map([...code.matchAll(/^const (\w+) = (\d+)u;$/gm)].map(([, name, value]) => [name!, value!]));

function named(kernels: readonly KernelCode[]): KernelText[] {
  const files = [...new Set(kernels.map(({ file }) => file))].sort();
  return files.flatMap((file) => {
    const own = kernels.filter((kernel) => kernel.file === file);
    const constants = own.map(({ code }) => constantsOf(code));
    const differing = [...new Set(constants.flatMap((map) => [...map.keys()]))].filter(
      (name) => new Set(constants.map((map) => map.get(name))).size > 1,
    );
    return own.map(({ label, code }, i) => ({
      name: own.length > 1 ? `${file}-${i + 1}` : file,
      file: `${file}.wgsl`,
      label,
      differs: differing
        .flatMap((name) => (constants[i]!.has(name) ? [`${name} ${constants[i]!.get(name)}`] : []))
        .join(", "),
      code: formatWgsl(code),
    }));
  });
}
