/** @file What a reader of a memory plan has to know besides its figures. */
import { BINDING_LIMIT, DEFAULT_BINDING_LIMIT, WASM_LIMIT } from "./limits.ts";
import type { MemoryPlan } from "./memory-plan.ts";

export interface PlanNote {
  /** For programs. */
  readonly code: "assumption" | "beyond-model" | "sliding-window" | "wasm-limit" | "binding" | "loading" | "not-run";
  readonly text: string;
}

const count = (n: number): string => n.toLocaleString("en-US");

/** What a reader of the figures has to know. */
export function planNotes(plan: MemoryPlan): PlanNote[] {
  const { model, context, formats, backend, weights } = plan;
  const notes: PlanNote[] = model.assumptions.map((text, i) => ({
    code: i === 0 && !model.runs ? "not-run" : "assumption",
    text,
  }));
  if (plan.weightsAsked === "auto" && !model.storedTypeOf && model.storedType !== "bf16") {
    notes.push({
      code: "assumption",
      text: `that the weights are stored in ${model.storedType} is the config's word, no headers were read; --weights says otherwise`,
    });
  }
  const limit = model.maxPositionEmbeddings;
  if (context > limit) {
    const factor = Math.ceil((context / limit) * 4) / 4;
    notes.push({
      code: "beyond-model",
      text:
        `${count(context)} tokens are ${(context / limit).toFixed(1)} times the ${count(limit)} of max_position_embeddings; the bytes hold, but the ` +
        `model has to be stretched, for example {"rope_type": "yarn", "factor": ${factor}} as rope_scaling in config.json, and may answer worse`,
    });
  }
  const windows = model.layers.filter(({ slidingWindow }) => slidingWindow > 0);
  if (model.runs && windows.length > 0) {
    notes.push({
      code: "sliding-window",
      text: `${windows.length} of ${model.layers.length} layers attend to the last ${count(windows[0]!.slidingWindow)} tokens only; their older pages are kept and counted all the same`,
    });
  }
  const smallest = formats.at(-1)!;
  if (backend === "wasm" && formats[0]!.totalBytes > WASM_LIMIT) {
    const within = formats.filter(({ totalBytes }) => totalBytes <= WASM_LIMIT);
    notes.push({
      code: "wasm-limit",
      text: `the wasm backend addresses 4 GiB: ${within.length === 0 ? "no format fits it" : `${within.map(({ kv }) => kv).join(", ")} fit it`}; webgpu has no such limit`,
    });
  }
  if (backend === "webgpu") {
    if (smallest.totalBytes <= WASM_LIMIT) {
      const within = formats.filter(({ totalBytes }) => totalBytes <= WASM_LIMIT);
      notes.push({
        code: "wasm-limit",
        text: `within the 4 GiB of the wasm backend: ${within.map(({ kv }) => kv).join(", ")}`,
      });
    } else
      notes.push({ code: "wasm-limit", text: "beyond the 4 GiB of the wasm backend with every format: needs webgpu" });
    const wide = formats.filter(({ largestBinding }) => largestBinding > DEFAULT_BINDING_LIMIT);
    if (wide.length > 0) {
      const over = formats.filter(({ largestBinding }) => largestBinding > BINDING_LIMIT);
      notes.push({
        code: "binding",
        text:
          `${wide.map(({ kv }) => kv).join(", ")}: the pages of one layer are more than 128 MiB, so the adapter has to bind more than WebGPU's default` +
          (over.length > 0
            ? `; ${over.map(({ kv }) => kv).join(", ")} more than 2 GiB, which not every adapter does`
            : ""),
      });
    }
  }
  if (weights.bytes + weights.loadingBytes > plan.availableBytes) {
    notes.push({
      code: "loading",
      text: "while loading, the largest matrix lies in memory twice, and that does not fit; keep the weights in fewer bytes (--weights q8)",
    });
  }
  return notes;
}
