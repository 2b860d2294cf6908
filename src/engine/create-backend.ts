/** @file Chooses and starts a backend. Each is imported only when used. */
import type { BackendName, Ops } from "../backends/ops.ts";
import { TurboQuantError } from "../errors.ts";
import { checkHeadDim } from "../quant/head-dim.ts";
import type { LayerKvFormat } from "../quant/kv-format.ts";

export interface BackendOptions {
  readonly threads?: number;
  /** KV formats it will be asked for: `auto` takes a backend that has them all, a named one refuses what it has not. */
  readonly formats?: readonly LayerKvFormat[];
  /** head_dim of the model's layers, asked for like the formats. */
  readonly headDims?: readonly number[];
  /** Told why `auto` chose what it chose, and whether a GPU that is there was left because of what is asked for. */
  readonly onChoice?: (reason: string, leavesGpu: boolean) => void;
}

/**
 * `auto`: WebGPU where a GPU computes it and has kernels for the formats and the head_dim, WASM otherwise.
 * @throws TurboQuantError unsupported — not on this machine, or not with these formats or this head_dim
 */
export async function createBackend(name: BackendName | "auto", options: BackendOptions = {}): Promise<Ops> {
  const { onChoice, formats = [], headDims = [], ...rest } = options;
  const needs = { formats, headDims };
  switch (name) {
    case "auto":
      return createAutoBackend(rest, needs, onChoice ?? (() => {}));
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
      return serving(await createWebGpuBackend(), needs);
    }
    default:
      throw new TurboQuantError(
        "unsupported",
        `backend ${name} is not in this build; choose auto, webgpu, wasm or reference`,
        { name },
      );
  }
}

interface Needs {
  readonly formats: readonly LayerKvFormat[];
  readonly headDims: readonly number[];
}

async function createAutoBackend(
  options: { readonly threads?: number },
  needs: Needs,
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
    const ops = await serving(gpu, needs);
    tell("webgpu, because there is a GPU", false);
    return ops;
  } catch (error) {
    if (!(error instanceof TurboQuantError) || error.code !== "unsupported") throw error;
    tell(`wasm, because of ${error.message}`, hasGpu);
    return createBackend("wasm", options);
  }
}

/** The backend, or its refusal after it is given back. Said here, before any weights are read. */
async function serving(ops: Ops, { formats, headDims }: Needs): Promise<Ops> {
  try {
    for (const headDim of headDims) checkHeadDim(headDim, `the ${ops.name} backend`, ops.maxHeadDim);
    for (const format of formats) ops.checkFormat?.(format);
    return ops;
  } catch (error) {
    await ops.dispose();
    throw error;
  }
}
