/** @file Chooses and starts a backend. Each is imported only when used. */
import type { BackendName, Ops } from "../backends/ops.ts";
import { TurboQuantError } from "../errors.ts";
import type { LayerKvFormat } from "../quant/kv-format.ts";

export interface BackendOptions {
  readonly threads?: number;
  /** KV formats it will be asked for: `auto` takes a backend that has them all, a named one refuses what it has not. */
  readonly formats?: readonly LayerKvFormat[];
  /** Told why `auto` chose what it chose, and whether a GPU that is there was left because of what is asked for. */
  readonly onChoice?: (reason: string, leavesGpu: boolean) => void;
}

/**
 * `auto`: WebGPU where a GPU computes it and has kernels for the formats, WASM otherwise.
 * @throws TurboQuantError unsupported — not on this machine, or not with these formats
 */
export async function createBackend(name: BackendName | "auto", options: BackendOptions = {}): Promise<Ops> {
  const { onChoice, formats = [], ...rest } = options;
  switch (name) {
    case "auto":
      return createAutoBackend(rest, formats, onChoice ?? (() => {}));
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
      return withFormats(await createWebGpuBackend(), formats);
    }
    default:
      throw new TurboQuantError(
        "unsupported",
        `backend ${name} is not in this build; choose auto, webgpu, wasm or reference`,
        { name },
      );
  }
}

async function createAutoBackend(
  options: { readonly threads?: number },
  formats: readonly LayerKvFormat[],
  tell: (reason: string, leavesGpu: boolean) => void,
): Promise<Ops> {
  // A number of threads is a wish for the CPU.
  if (options.threads !== undefined) {
    tell("wasm, because a number of threads was asked for", false);
    return createBackend("wasm", options);
  }
  let hasGpu = false;
  try {
    const { createWebGpuBackend } = await import("../backends/webgpu/backend.ts");
    const gpu = await createWebGpuBackend({ hardwareOnly: true });
    hasGpu = true;
    const ops = await withFormats(gpu, formats);
    tell("webgpu, because there is a GPU", false);
    return ops;
  } catch (error) {
    if (!(error instanceof TurboQuantError) || error.code !== "unsupported") throw error;
    tell(`wasm, because of ${error.message}`, hasGpu);
    return createBackend("wasm", options);
  }
}

/** The backend, or its refusal after it is given back. Said here, before any weights are read. */
async function withFormats(ops: Ops, formats: readonly LayerKvFormat[]): Promise<Ops> {
  try {
    for (const format of formats) ops.checkFormat?.(format);
    return ops;
  } catch (error) {
    await ops.dispose();
    throw error;
  }
}
