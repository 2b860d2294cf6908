/** @file Starts the backend for a model: the one that was named, or one that has room for it and kernels for its formats. */
import type { Ops } from "../backends/ops.ts";
import { automaticBackends, type BackendName, findBackend } from "../backends/registry.ts";
import { TurboQuantError } from "../errors.ts";
import { inOneMemory } from "../models/placement.ts";
import { type PlannedModel, plannedKinds } from "../plan/model-memory.ts";
import { getPlatform } from "../platform.ts";
import { choosesInTiers, layerFormats } from "../quant/layer-formats.ts";
import { checkFit, type Fit, type FitOptions } from "./check-fit.ts";
import { checkNeeds, createBackend, type Needs } from "./create-backend.ts";
import { type Footprint, footprintBytes } from "./footprint.ts";
import { DEFAULT_KV, type LoadOptions } from "./load-options.ts";

/** A backend on which the model can be loaded. */
export interface Started {
  readonly ops: Ops;
  readonly fit: Fit;
  /** What `auto` chose and why. */
  readonly choice: string | undefined;
  /** A note for the user that `auto` did not choose an existing GPU. */
  readonly note: string | null;
  /** The most tokens of a sequence in another format, at most the model's own; 0 where not one page fits. */
  readonly longestContext: (kv: string) => number;
  readonly footprint: () => Footprint;
}

/** The reason without the advice behind it, since the advice was followed. */
const leftGpu = (choice: string): string => `backend: ${choice.split(";")[0]}`;

/**
 * Starts a backend that has room for model and context and kernels for the formats. `auto` prefers a GPU, and chooses the CPU
 * when only that has all of it.
 */
export async function startBackend(options: LoadOptions, model: PlannedModel): Promise<Started> {
  const { backend = "auto", threads, kv = DEFAULT_KV, otherKv = [] } = options;
  const [specs, kinds] = [[kv, ...otherKv], plannedKinds(model)];
  const needs: Needs = {
    formats: layerFormats(specs, kinds),
    // The longest vector of a layer: of latent attention the latent with the rotary part beside it.
    headDims: model.layers.map(
      ({ headDim, valueDim = headDim, rotaryKeyDim = 0 }) => Math.max(headDim, valueDim) + rotaryKeyDim,
    ),
    needs: [...(model.needs ?? []), ...(choosesInTiers(specs, kinds) ? (["choosesInTiers"] as const) : [])],
  };
  if (typeof backend === "object") {
    checkNeeds(backend, needs);
    return { ...fitted(backend, options, model), choice: undefined, note: null };
  }
  const start = async (name: BackendName | "auto"): Promise<Started> => {
    let choice: string | undefined;
    let note: string | null = null;
    const onChoice = (reason: string, leavesGpu: boolean): void => {
      choice = reason;
      if (leavesGpu) note = leftGpu(reason);
    };
    const ops = await createBackend(name, {
      onChoice,
      ...needs,
      ...(threads !== undefined && { threads }),
    });
    try {
      return { ...fitted(ops, options, model), choice, note };
    } catch (error) {
      await ops.dispose();
      // The GPU has too little memory, or no kernels for the weights.
      const isOnlyHere = error instanceof TurboQuantError && ["out_of_memory", "unsupported"].includes(error.code);
      const cpu = automaticBackends().find(({ runsOn }) => runsOn === "cpu");
      if (name !== "auto" || !cpu || ops.name === cpu.name || !isOnlyHere) throw error;
      const other = await start(cpu.name).catch(() => {
        throw error;
      });
      const why = `${cpu.name}, because of ${ops.name}: ${error.message}`;
      return { ...other, choice: why, note: leftGpu(why) };
    }
  };
  return start(backend);
}

function fitted(
  ops: Ops,
  options: LoadOptions,
  model: PlannedModel,
): Pick<Started, "ops" | "fit" | "longestContext" | "footprint"> {
  const longestContext = (kv: string): number => {
    const { contextLength: _, ...others } = options;
    try {
      return fitOf(ops, { ...others, kv, otherKv: [] }, model).contextLength;
    } catch (error) {
      if (error instanceof TurboQuantError && error.code === "out_of_memory") return 0;
      throw error;
    }
  };
  const fit = fitOf(ops, options, model);
  return { ops, fit, longestContext, footprint: () => footprintOf(ops, options, model, fit.contextLength) };
}

function footprintOf(ops: Ops, options: LoadOptions, model: PlannedModel, context: number): Footprint {
  const { memoryBytes = Number.POSITIVE_INFINITY } = options;
  const asking = fitOptions(ops, options, model);
  if (!asking)
    return {
      bytes: Number.POSITIVE_INFINITY,
      availableBytes: Math.min(memoryBytes, getPlatform().memoryBytes ?? Number.POSITIVE_INFINITY),
    };
  const { memory, machineBytes = memory.bytes * (memory.count ?? 1) } = asking;
  return { bytes: footprintBytes(asking, context), availableBytes: Math.min(memoryBytes, machineBytes) };
}

const UNLIMITED = { bytes: Number.POSITIVE_INFINITY, bindingBytes: Number.POSITIVE_INFINITY };

/** @throws TurboQuantError out_of_memory — the weights or the cache do not fit the backend's memory */
function fitOf(ops: Ops, options: LoadOptions, model: PlannedModel): Fit {
  const asking = fitOptions(ops, options, model);
  if (asking) return checkFit(asking);
  const placement = inOneMemory(model.numLayers ?? model.layers.length);
  return { contextLength: options.contextLength ?? model.maxPositionEmbeddings, note: null, placement };
}

/** null for a backend that only the system limits. */
function fitOptions(ops: Ops, options: LoadOptions, model: PlannedModel): FitOptions | null {
  const { contextLength: context, kvBudgetBytes, memoryBytes } = options;
  const backend = findBackend(ops.name);
  if (!backend?.planner) return null;
  return {
    model,
    backend: ops.name,
    capabilities: ops.capabilities,
    memory: ops.memory ?? { what: ops.name, ...UNLIMITED },
    kv: options.kv ?? DEFAULT_KV,
    otherKv: options.otherKv ?? [],
    weights: options.weights ?? "auto",
    context,
    kvBudgetBytes,
    memoryBytes,
    machineBytes: backend.runsOn === "cpu" ? getPlatform().memoryBytes : undefined,
  };
}
