/** @file Chooses and starts a backend. Each is imported only when used. */
import type { BackendName, Ops } from "../backends/ops.ts";
import { TurboQuantError } from "../errors.ts";

export interface BackendOptions {
  readonly threads?: number;
}

/** `auto` is the fastest backend of this build that the machine can run. */
export async function createBackend(name: BackendName | "auto", options: BackendOptions = {}): Promise<Ops> {
  if (name === "reference") {
    const { createReferenceBackend } = await import("../backends/reference/backend.ts");
    return createReferenceBackend();
  }
  if (name === "wasm" || name === "auto") {
    const { createWasmBackend } = await import("../backends/wasm/backend.ts");
    return createWasmBackend(options);
  }
  if (name === "webgpu") {
    const { createWebGpuBackend } = await import("../backends/webgpu/backend.ts");
    return createWebGpuBackend();
  }
  throw new TurboQuantError("unsupported", `backend ${name} is not in this build; choose auto, wasm or reference`, {
    name,
  });
}
