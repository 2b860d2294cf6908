/**
 * @file One small model for each kind of state on WebGPU, against Transformers, with what sequences can do (support/seeded-golden.ts). All kinds with
 * all features are in kinds-of-state.test.ts, all families of the shared folder in webgpu-architectures.test.ts.
 */
import { afterAll, beforeAll, describe, it } from "vitest";
import { WebGpuBackend } from "../src/backends/webgpu/backend.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { type KeptPipelines, keepPipelines } from "./support/kept-pipelines.ts";
import { seededModel } from "./support/seeded-checkpoint.ts";
import { expectSeeded } from "./support/seeded-golden.ts";

const KINDS: [kind: string, model: string][] = [
  ["keys and values of unequal widths, with zeros behind them, and windows", "mimo_v2_flash-heads"],
  ["chunked attention", "llama4_text"],
  ["latent rows", "minicpm3"],
  ["a delta net", "qwen3_5_text"],
  ["short convolutions", "lfm3"],
  ["Mamba-1", "jamba"],
  ["Mamba-2 and attention side by side", "falcon_h1"],
  ["layers that share another's", "gemma4_text"],
];

describe.skipIf(gpuSkip)(
  `kinds of state on webgpu${gpuSkip ? ` (${gpuSkip})` : ""}`,
  { timeout: GPU_TIMEOUT_MS },
  () => {
    let gpu: KeptPipelines;
    beforeAll(async () => {
      gpu = await keepPipelines();
    });
    afterAll(() => gpu.dispose());

    it.each(KINDS)("%s", async (_kind, name) => {
      const backend = new WebGpuBackend(gpu.context());
      await expectSeeded(backend, seededModel(name));
      backend.dispose();
    });
  },
);
