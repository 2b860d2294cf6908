/** @file Notes that a reader of a memory plan needs besides its figures. */
import { plannedBackend, plannedBackends } from "../backends/registry.ts";
import { binarySize, formatBytes, formatCount } from "../format-number.ts";
import { addressedBytes } from "./backend-plan.ts";
import type { MemoryPlan, PlannedFormat } from "./memory-plan.ts";
import { fixedStateBytes } from "./model-memory.ts";

export interface PlanNote {
  /** A stable name of the kind of note, for programs. */
  readonly code:
    | "assumption"
    | "beyond-model"
    | "sliding-window"
    | "fixed-state"
    | "shared-layers"
    | "wasm-limit"
    | "memories"
    | "binding"
    | "loading";
  readonly text: string;
}

/** All notes that apply to a plan. */
export function planNotes(plan: MemoryPlan): PlanNote[] {
  const { model, context, weights } = plan;
  const notes: PlanNote[] = model.assumptions.map((text) => ({ code: "assumption", text }));
  const { quantizedBy, storedType, storedTypeOf } = model;
  if (plan.weightsAsked === "auto" && (quantizedBy !== undefined || (!storedTypeOf && storedType !== "bf16"))) {
    const stored = quantizedBy === undefined ? storedType : `${quantizedBy} and read as ${storedType}`;
    notes.push({
      code: "assumption",
      text: `that the weights are stored in ${stored} is the config's word, no headers were read; --weights says otherwise`,
    });
  }
  const limit = model.maxPositionEmbeddings;
  if (context > limit) {
    const factor = Math.ceil((context / limit) * 4) / 4;
    const [field, example] = model.isGguf
      ? ["context_length", `rope.scaling.type yarn and rope.scaling.factor ${factor} in the metadata of its GGUF file`]
      : ["max_position_embeddings", `{"rope_type": "yarn", "factor": ${factor}} as rope_scaling in config.json`];
    notes.push({
      code: "beyond-model",
      text:
        `${formatCount(context)} tokens are ${(context / limit).toFixed(1)} times the ${formatCount(limit)} of ${field}; the bytes hold, but the ` +
        `model has to be stretched, for example ${example}, and may answer worse`,
    });
  }
  const windows = model.layers.filter(({ slidingWindow }) => slidingWindow > 0);
  if (windows.length > 0) {
    notes.push({
      code: "sliding-window",
      text: `${windows.length} of ${model.layers.length} layers attend to the last ${formatCount(windows[0]!.slidingWindow)} tokens only and keep no older pages`,
    });
  }
  if (model.sharedLayers?.length) {
    const of = [...new Set(model.sharedLayers.map((shared) => shared.of))];
    notes.push({
      code: "shared-layers",
      text: `${model.sharedLayers.length} layers read the keys and values of layers ${of.sort((a, b) => a - b).join(" and ")}, in their formats, and take no bytes of the cache`,
    });
  }
  const stateBytes = fixedStateBytes(model);
  if (stateBytes > 0) {
    notes.push({
      code: "fixed-state",
      text: `a sequence also keeps ${formatBytes(stateBytes)} of states that do not grow with it, in f32 with every format; they are part of the cache's bytes`,
    });
  }
  notes.push(...limitNotes(plan), ...bindingNotes(plan));
  if (weights.bytes + weights.loadingBytes > plan.availableBytes) {
    notes.push({
      code: "loading",
      text: `while loading, ${formatBytes(weights.loadingBytes)} of the checkpoint lie in memory besides the weights, and that does not fit; keep the weights in fewer bytes (--weights q8)`,
    });
  }
  return notes;
}

/** Notes on how many memories a model takes, and on a backend that holds more than this one. */
function limitNotes({ backend, formats }: MemoryPlan): PlanNote[] {
  const { memoryBytes, memories = 1 } = plannedBackend(backend).planner.limits;
  const others = plannedBackends().filter(({ name, isAutomatic }) => isAutomatic && name !== backend);
  const named = (which: readonly PlannedFormat[]): string => which.map(({ kv }) => kv).join(", ");
  const within = (bytes: number): string => named(formats.filter((format) => addressedBytes(format) <= bytes));
  if (Number.isFinite(memoryBytes)) {
    const notes: PlanNote[] = [];
    const counts = [...new Set(formats.map((format) => format.memories))].filter((count) => count > 1);
    if (counts.length > 0) {
      const shares = counts.map(
        (count) => `${named(formats.filter((format) => format.memories === count))} in ${count}`,
      );
      notes.push({
        code: "memories",
        text: `a memory of the ${backend} backend holds ${binarySize(memoryBytes)}: ${shares.join("; ")} of them`,
      });
    }
    if (formats.some((format) => format.memories === 0)) {
      const free = others.find(({ planner }) => !Number.isFinite(planner.limits.memoryBytes));
      const fitting = named(formats.filter((format) => format.memories > 0));
      const most = memories === 1 ? binarySize(memoryBytes) : `${memories} memories of ${binarySize(memoryBytes)}`;
      notes.push({
        code: "wasm-limit",
        text: `the ${backend} backend addresses ${most}: ${fitting ? `${fitting} fit it` : "no format fits it"}${free ? `; ${free.name} has no such limit` : ""}`,
      });
    }
    return notes;
  }
  return others.flatMap(({ name, planner: { limits } }): PlanNote[] => {
    if (!Number.isFinite(limits.memoryBytes)) return [];
    const fitting = within(limits.memoryBytes);
    const one = `one memory of the ${name} backend (${binarySize(limits.memoryBytes)})`;
    if (fitting) return [{ code: "wasm-limit", text: `within ${one}: ${fitting}` }];
    const all = limits.memoryBytes * (limits.memories ?? 1);
    const spread = within(all);
    return [
      {
        code: "wasm-limit",
        text: spread
          ? `beyond ${one} with every format; spread over several it holds ${spread}`
          : `beyond the ${binarySize(all)} of the ${name} backend with every format: needs ${backend}`,
      },
    ];
  });
}

/** A note on formats whose pages of one layer are larger than what every device can bind. */
function bindingNotes({ backend, formats }: MemoryPlan): PlanNote[] {
  const { bindingBytes, leastBindingBytes } = plannedBackend(backend).planner.limits;
  const beyond = (bytes: number): string =>
    formats
      .filter(({ largestBinding }) => largestBinding > bytes)
      .map(({ kv }) => kv)
      .join(", ");
  const [wide, over] = [beyond(leastBindingBytes), beyond(bindingBytes)];
  if (!wide) return [];
  return [
    {
      code: "binding",
      text:
        `${wide}: the pages of one layer are more than ${binarySize(leastBindingBytes)}, so the adapter has to bind more than WebGPU's default` +
        (over ? `; ${over} more than ${binarySize(bindingBytes)}, which not every adapter does` : ""),
    },
  ];
}
