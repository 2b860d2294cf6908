/** @file Chooses and starts a backend. Each is imported only when used. */
import type { BackendName, Ops } from "../backends/ops.ts";
import { TurboQuantError } from "../errors.ts";

export interface BackendOptions {
  readonly threads?: number;
  /** Told why `auto` chose what it chose. */
  readonly onChoice?: (reason: string) => void;
}

/** `auto`: WebGPU where a GPU computes it, WASM otherwise. @throws TurboQuantError unsupported — not on this machine */
export async function createBackend(name: BackendName | "auto", options: BackendOptions = {}): Promise<Ops> {
  const { onChoice, ...rest } = options;
  switch (name) {
    case "auto":
      return createAutoBackend(rest, onChoice ?? (() => {}));
    case "reference": {
      const { createReferenceBackend } = await import("../backends/reference/backend.ts");
      return createReferenceBackend();
    }
    case "wasm": {
      const { createWasmBackend } = await import("../backends/wasm/backend.ts");
      return createWasmBackend(rest);
    }
    case "webgpu": {
      const { createWebGpuBackend } = await import("../backends/webgpu/backend.ts");
      return createWebGpuBackend();
    }
    default:
      throw new TurboQuantError(
        "unsupported",
        `backend ${name} is not in this build; choose auto, webgpu, wasm or reference`,
        { name },
      );
  }
}

async function createAutoBackend(options: { readonly threads?: number }, tell: (reason: string) => void): Promise<Ops> {
  // A number of threads is a wish for the CPU.
  if (options.threads !== undefined) {
    tell("wasm, because a number of threads was asked for");
    return createBackend("wasm", options);
  }
  try {
    const { createWebGpuBackend } = await import("../backends/webgpu/backend.ts");
    const ops = await createWebGpuBackend({ hardwareOnly: true });
    tell("webgpu, because there is a GPU");
    return ops;
  } catch (error) {
    if (!(error instanceof TurboQuantError) || error.code !== "unsupported") throw error;
    tell(`wasm, because of ${error.message}`);
    return createBackend("wasm", options);
  }
}
