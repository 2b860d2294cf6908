/** @file Some of the tiny checkpoints on WebGPU: those that meet every norm, activation and order of blocks between them. */
import { join } from "node:path";
import { describe, it } from "vitest";
import "../src/node/install.ts";
import { WebGpuBackend } from "../src/backends/webgpu/backend.ts";
import { openDevice } from "../src/backends/webgpu/device/open-device.ts";
import { LLM } from "../src/index.ts";
import { expectGolden, goldenOf } from "./support/architecture-golden.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { isThorough } from "./support/optional.ts";
import { sharedPath } from "./support/shared.ts";

const root = sharedPath("fixtures");
const skip = gpuSkip ?? (root ? null : "fixtures not present");
const NAMES = [
  ...["glm4", "cohere2", "bitnet", "falcon_h1", "deepseek_v3"],
  ...(isThorough
    ? [
        "gemma3n_text",
        "gemma4_text",
        "hunyuan_v1_dense",
        "gpt_oss",
        "qwen2_moe",
        "glm4_moe",
        "llama4_text",
        "phi",
        "olmo2",
        "gpt_neox",
        "apertus",
        "granite",
        "phi3",
        "bamba",
        "nemotron_h",
        "lfm2",
        "qwen3_5_text",
      ]
    : []),
];

describe.skipIf(skip)(`architectures on webgpu${skip ? ` (${skip})` : ""}`, () => {
  it.each(NAMES)(
    "%s, in chunks and token by token",
    async (name) => {
      // On a CPU norms stay alone; here products take them along, as on a GPU.
      const ops = new WebGpuBackend(Object.assign(await openDevice({}), { isSoftware: false }));
      await using llm = await LLM.load(join(root!, name), { kv: "f32", backend: ops });
      const golden = goldenOf(join(root!, name));
      await expectGolden(llm, { ...golden, ids: golden.ids.slice(0, 40) }, 34, 0);
      await expectGolden(llm, { ...golden, ids: golden.ids.slice(0, 3) }, 1, 0);
    },
    GPU_TIMEOUT_MS,
  );
});
