/** @file The Node platform: checkpoints from directories, embedded models and the hub; worker threads. */
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { TurboQuantError } from "../errors.ts";
import type { FileSource } from "../formats/file-source.ts";
import { httpCheckpoint } from "../formats/http-checkpoint.ts";
import { parseHubId } from "../formats/hub-id.ts";
import type { OnProgress, Platform } from "../platform.ts";
import { nodeCalibrations } from "./calibration-shelf.ts";
import { DirectorySource } from "./directory-source.ts";
import { openNodeGpu } from "./gpu.ts";
import { hubEndpoint, hubSettings } from "./hub/hub-settings.ts";
import type { HubModel } from "./hub/pull-model.ts";
import { nodeKernelPlans } from "./kernel-plan-shelf.ts";
import { findLocalModel } from "./local-model.ts";
import { machineMemory } from "./machine-memory.ts";
import { EMBEDDED_MODELS, embeddedModelDirectory, packageRoot } from "./package-root.ts";
import { spawnNodeWorker } from "./worker.ts";

/**
 * ref: an existing directory or .gguf file (`findLocalModel`), the name of an embedded model, a name on the hub (`parseHubId`), or
 * another address, which is read in ranges and stored nowhere; tried in this order.
 * @throws TurboQuantError invalid_argument — none of these; invalid_file — the hub could not deliver it
 */
async function openSource(
  ref: string,
  options: { onProgress?: OnProgress; signal?: AbortSignal } = {},
): Promise<FileSource> {
  const local = (await openLocal(ref)) ?? (await openOfLlamaCpp(ref)) ?? (await openOfOllama(ref));
  if (local) return local;
  const id = parseHubId(ref, hubEndpoint());
  if (id) {
    const { findOrPull } = await import("./hub/pull-model.ts");
    return sourceOfHubModel(await findOrPull(id, options));
  }
  if (/^https?:\/\//.test(ref)) return httpCheckpoint(ref, options);
  throw new TurboQuantError(
    "invalid_argument",
    `model: expected a directory, a .gguf file, one of a directory by its quantization (DIR:Q4_K_M), a name on the hub (org/name, org/name:Q4_K_M), an address (https://…) or an embedded model (${EMBEDDED_MODELS.join(", ")}), got "${ref}", which is none; check the path`,
    { ref },
  );
}

/** A directory, a GGUF file or an embedded model. */
async function openLocal(ref: string): Promise<DirectorySource | undefined> {
  const model = await findLocalModel(ref);
  if (model) return new DirectorySource(model.directory, model.directory, model.weights ?? undefined);
  const embedded = embeddedModelDirectory(ref);
  return embedded === undefined ? undefined : new DirectorySource(embedded, ref);
}

/** A file in llama.cpp's cache; modules of other tools are loaded for their names alone. */
async function openOfLlamaCpp(ref: string): Promise<DirectorySource | undefined> {
  if (!ref.startsWith("llama.cpp:")) return undefined;
  const { findLlamaCppModel } = await import("./shelf/llama-cpp-cache.ts");
  const { name, directory, file } = await findLlamaCppModel(ref);
  return new DirectorySource(directory, name, file);
}

async function openOfOllama(ref: string): Promise<FileSource | undefined> {
  if (!ref.startsWith("ollama:")) return undefined;
  const { findOllamaModel, ollamaSource } = await import("./shelf/ollama-store.ts");
  return ollamaSource(await findOllamaModel(ref));
}

/**
 * The checkpoint's files; undefined when they are not on this machine.
 * ref: as for `openSource`, which downloads hub models first
 */
export async function localCheckpoint(ref: string): Promise<DirectorySource | undefined> {
  const local = (await openLocal(ref)) ?? (await openOfLlamaCpp(ref));
  const id = local ? null : parseHubId(ref, hubEndpoint());
  if (!id) return local;
  const { cachedModel } = await import("./hub/pull-model.ts");
  const model = await cachedModel(id, await hubSettings());
  return model ? sourceOfHubModel(model) : undefined;
}

export const sourceOfHubModel = ({ directory, name, weights }: HubModel): DirectorySource =>
  new DirectorySource(directory, name, weights ?? undefined);

async function openGrammarEngine(): Promise<Uint8Array<ArrayBuffer>> {
  const file = join(packageRoot(), "grammar", "llguidance.wasm");
  try {
    return new Uint8Array(await readFile(file));
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      "structured output: its engine, grammar/llguidance.wasm of the package, cannot be read; install the package again (npm install turboquant), or in a checkout run npm run build:grammar",
      { file },
      { cause },
    );
  }
}

export const nodePlatform: Platform = {
  name: "node",
  openSource,
  spawnWorker: spawnNodeWorker,
  openGpu: openNodeGpu,
  memoryBytes: machineMemory(),
  concurrency: availableParallelism(),
  calibrations: nodeCalibrations,
  kernelPlans: nodeKernelPlans,
  openGrammarEngine,
};
