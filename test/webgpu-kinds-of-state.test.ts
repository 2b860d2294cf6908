/**
 * @file Kinds of state on WebGPU. Every run has a small model for each of some kinds, against Transformers, with what sequences can do
 * (support/seeded-golden.ts). TQ_THOROUGH=1 has all kinds with all that kinds-of-state.test.ts asks of them on wasm, and with TQ_RECORD=1 writes down
 * in fixtures/proven.json which were right. A part of a run: `-t "webgpu codes"`. All families of the shared folder are in
 * webgpu-architectures.test.ts.
 */
import { describe, it } from "vitest";
import { WebGpuBackend } from "../src/backends/webgpu/backend.ts";
import { openDevice } from "../src/backends/webgpu/device/open-device.ts";
import { keptByFamily } from "../tools/models/kept-by-family.ts";
import { recordProof } from "../tools/models/proven.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { describeKinds, KINDS } from "./support/kinds-of-state.ts";
import { isThorough } from "./support/optional.ts";
import { seededModel } from "./support/seeded-checkpoint.ts";
import { expectSeeded } from "./support/seeded-golden.ts";

const SMALL_KINDS: [kind: string, model: string][] = [
  ["keys and values of unequal widths, with zeros behind them, and windows", "mimo_v2_flash-heads"],
  ["chunked attention", "llama4_text"],
  ["latent rows", "minicpm3"],
  ["a delta net", "qwen3_5_text"],
  ["short convolutions", "lfm3"],
  ["Mamba-1", "jamba"],
  ["Mamba-2 and attention side by side", "falcon_h1"],
  ["layers that share another's", "gemma4_text"],
];

/** Families that WebGPU has no kernels for and refuses by name. */
const refused = new Set(
  keptByFamily().flatMap(({ modelType, lacks }) => (lacks.get("webgpu")?.startsWith("no kernels") ? modelType : [])),
);
const isRecording = process.env["TQ_RECORD"] === "1";

describe.skipIf(gpuSkip)(
  `kinds of state on webgpu${gpuSkip ? ` (${gpuSkip})` : ""}`,
  { timeout: GPU_TIMEOUT_MS },
  () => {
    if (isThorough) {
      describeKinds(
        KINDS.filter(([, model]) => !refused.has(model)),
        async () => new WebGpuBackend(await openDevice()),
        (kind, isRight) => isRecording && recordProof("webgpu, kinds of state", kind, isRight),
      );
      return;
    }

    it.each(SMALL_KINDS)("%s", async (_kind, name) => {
      const backend = new WebGpuBackend(await openDevice());
      await expectSeeded(backend, seededModel(name));
      backend.dispose();
    });
  },
);
