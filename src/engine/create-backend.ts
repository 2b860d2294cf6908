/** @file Chooses a backend from the registry and opens it. */
import type { Backend, BackendOpenOptions } from "../backends/backend.ts";
import { ABILITIES, type Ability } from "../backends/capabilities.ts";
import { openBackend } from "../backends/open-backend.ts";
import type { Ops } from "../backends/ops.ts";
import { automaticBackends, type BackendName, backendOf } from "../backends/registry.ts";
import { TurboQuantError } from "../errors.ts";
import { checkHeadDim } from "../quant/head-dim.ts";
import type { LayerKvFormat } from "../quant/kv-format.ts";

export interface BackendOptions {
  readonly threads?: number;
  /** See `BackendOpenOptions`. */
  readonly device?: GPUDevice;
  readonly isShared?: boolean;
  /** KV formats that will be used. `auto` chooses a backend with kernels for all of them; a named backend refuses what it lacks. */
  readonly formats?: readonly LayerKvFormat[];
  /** head_dim of the model's layers, treated like the formats. */
  readonly headDims?: readonly number[];
  /** What the model's blocks need besides. */
  readonly needs?: readonly Ability[];
  /** Called with the reason for the choice of `auto`, and whether an existing GPU was not chosen because of the formats or head_dim. */
  readonly onChoice?: (reason: string, leavesGpu: boolean) => void;
}

/** What a model needs of a backend besides room. */
export type Needs = Required<Pick<BackendOptions, "formats" | "headDims" | "needs">>;

/**
 * `auto` chooses a GPU if there is one with kernels for the formats and the head_dim, and the CPU otherwise.
 * @throws TurboQuantError unsupported — not available on this machine, or not for these formats or this head_dim
 */
export async function createBackend(name: BackendName | "auto", options: BackendOptions = {}): Promise<Ops> {
  const { threads, device, isShared, onChoice, formats = [], headDims = [], needs: abilities = [] } = options;
  const open = {
    ...(threads !== undefined && { threads }),
    ...(device !== undefined && { device }),
    ...(isShared !== undefined && { isShared }),
  };
  const needs = { formats, headDims, needs: abilities };
  if (name === "auto") return openAutomatic(open, needs, onChoice ?? (() => {}));
  const backend = backendOf(name);
  if (device && backend.runsOn !== "gpu")
    throw new TurboQuantError(
      "invalid_argument",
      `device: the ${name} backend does not run on a GPU; leave the backend out`,
    );
  return openFor(needs, backend, open);
}

/** Whether this machine has a GPU that `auto` might choose; a software adapter is none. */
export async function hasGpu(): Promise<boolean> {
  for (const { name } of automaticBackends().filter(({ runsOn }) => runsOn === "gpu")) {
    const ops = await openBackend(name, { hardwareOnly: true }).catch(() => null);
    await ops?.dispose();
    if (ops) return true;
  }
  return false;
}

async function openAutomatic(
  options: Pick<BackendOpenOptions, "threads" | "device" | "isShared">,
  needs: Needs,
  tell: (reason: string, leavesGpu: boolean) => void,
): Promise<Ops> {
  let backends = automaticBackends();
  let why = "there is a GPU";
  if (options.device) {
    backends = backends.filter(({ runsOn }) => runsOn === "gpu");
    why = "a device was handed over";
  } else if (options.threads !== undefined) {
    // Whoever asks for a number of threads wants the CPU.
    backends = backends.filter(({ runsOn }) => runsOn === "cpu");
    why = "a number of threads was asked for";
  }
  let leavesGpu = false;
  for (const backend of backends.slice(0, -1)) {
    let isThere = false;
    try {
      const ops = await openFor(needs, backend, { ...options, hardwareOnly: true }, () => {
        isThere = true;
      });
      tell(`${backend.name}, because ${why}`, leavesGpu);
      return ops;
    } catch (error) {
      if (!(error instanceof TurboQuantError) || error.code !== "unsupported") throw error;
      why = `of ${error.message}`;
      leavesGpu ||= isThere && backend.runsOn === "gpu";
    }
  }
  const last = backends.at(-1)!;
  tell(`${last.name}, because ${why}`, leavesGpu);
  return openFor(needs, last, options);
}

/**
 * Returns the backend, or disposes of it and throws if it lacks something. Called before any weights are read.
 * onOpen: called when the backend could be opened, whatever kernels it has
 */
async function openFor(
  needs: Needs,
  backend: Backend,
  options: BackendOpenOptions,
  onOpen: () => void = () => {},
): Promise<Ops> {
  const ops = await openBackend(backend.name, options);
  onOpen();
  try {
    checkNeeds(ops, needs);
    return ops;
  } catch (error) {
    await ops.dispose();
    throw error;
  }
}

/** @throws TurboQuantError unsupported — the backend lacks kernels for something that the model needs */
export function checkNeeds({ name, capabilities }: Ops, { formats, headDims, needs }: Needs): void {
  for (const headDim of headDims) checkHeadDim(headDim, `the ${name} backend`, capabilities.maxHeadDim);
  for (const format of formats) capabilities.checkKv(format);
  const missing = needs.find((ability) => !capabilities[ability]);
  if (missing)
    throw new TurboQuantError(
      "unsupported",
      `the ${name} backend has no kernel for ${ABILITIES[missing]}; use --backend wasm`,
    );
}
