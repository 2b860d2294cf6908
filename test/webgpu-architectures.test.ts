/**
 * @file The tiny checkpoints on WebGPU. Every run has those that between them meet most blocks; TQ_THOROUGH=1 has all of them, whole, and with
 * TQ_RECORD=1 writes down for docs/models.md which families were right. Parts of a run: `-t "webgpu (llama|qwen3)$"`.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "vitest";
import "../src/node/install.ts";
import { WebGpuBackend } from "../src/backends/webgpu/backend.ts";
import { openDevice } from "../src/backends/webgpu/device/open-device.ts";
import { LLM } from "../src/index.ts";
import { supportedTypes } from "../src/models/registry.ts";
import { keptByFamily } from "../tools/models/kept-by-family.ts";
import { recordProof } from "../tools/models/proven.ts";
import { expectGolden, goldenOf } from "./support/architecture-golden.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "./support/gpu.ts";
import { isThorough } from "./support/optional.ts";
import { sharedPath } from "./support/shared.ts";

/** Parallel blocks and LayerNorm; experts, sinks and windows; latent attention. Small models of other kinds are in webgpu-kinds-of-state.test.ts. */
const NAMES = ["cohere2", "gpt_oss", "deepseek_v3"];

/** Names of all that load, less families that WebGPU has no kernels for and refuses by name. */
function allNames(): Set<string> {
  const refused = keptByFamily().filter(({ lacks }) => lacks.get("webgpu")?.startsWith("no kernels"));
  const names = new Set(supportedTypes());
  for (const { modelType } of refused) names.delete(modelType);
  return names;
}

const names = isThorough ? allNames() : new Set(NAMES);
const paths = ["fixtures", "fixtures2"]
  .flatMap((folder) => sharedPath(folder) ?? [])
  .flatMap((root) => readdirSync(root).map((name) => [name, join(root, name)] as const))
  .filter(([name]) => names.has(name));
const skip = gpuSkip ?? (paths.length > 0 ? null : "fixtures not present");
const isRecording = isThorough && process.env["TQ_RECORD"] === "1";

describe.skipIf(skip)(`architectures on webgpu${skip ? ` (${skip})` : ""}`, { timeout: GPU_TIMEOUT_MS }, () => {
  /** By model type: whether every checkpoint of it was right. */
  const results = new Map<string, boolean>();

  /** A part of a run that ends early leaves what it found. */
  function note(modelType: string, isRight: boolean): void {
    results.set(modelType, isRight);
    if (isRecording) recordProof("webgpu", modelType, isRight);
  }

  // On a CPU norms stay alone; here products take them along, as on a GPU.
  const load = async (path: string): Promise<LLM> => {
    const context = Object.assign(await openDevice(), { isSoftware: false });
    return LLM.load(path, { kv: "f32", backend: new WebGpuBackend(context) });
  };

  it.each(paths)("%s", async (_name, path) => {
    await using llm = await load(path);
    const { modelType } = llm.config;
    const others = results.get(modelType) ?? true;
    note(modelType, false);
    const golden = goldenOf(path);
    if (isThorough) {
      await expectGolden(llm, golden, golden.ids.length);
      await expectGolden(llm, golden, 37, 1);
      // Beyond the windows; the greedy tokens were single ones as well.
      await expectGolden(llm, { ...golden, ids: golden.ids.slice(0, 30) }, 1, 0);
    } else {
      await expectGolden(llm, { ...golden, ids: golden.ids.slice(0, 40) }, 34, 0);
      await expectGolden(llm, { ...golden, ids: golden.ids.slice(0, 3) }, 1, 0);
    }
    note(modelType, others);
  });
});
