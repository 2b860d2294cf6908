/** @file WebGPU in Node: Dawn, from the optional package `webgpu`. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { TurboQuantError } from "../errors.ts";
import type { GpuHandle } from "../platform.ts";
import { systemPlaces, whyNoVulkan } from "./vulkan-driver.ts";

interface DawnModule {
  readonly create: (options: readonly string[]) => GPU;
  readonly globals: Record<string, unknown>;
}

/** Subgroup matrices are experimental, and f16 on NVIDIA is disabled by default. Both are covered by tests on such a device. */
const FEATURES = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"];
/**
 * Indices in shaders are not clamped to the ends of buffers, unless `TQ_GPU_CLAMPS=1` has it done as browsers always do. A test sees an index
 * beyond the end in one of the two ways alone: clamped it gives the last element, which is wrong in a sum and may be right by itself;
 * not clamped it gives whatever is there, on SwiftShader 0, which is right in a sum and wrong by itself.
 */
const UNCLAMPED = ["disable_robustness"];
/** Dawn checks every call. The tests run our kernels with these checks (`TQ_GPU_CHECKS=1`); without them, encoding a dispatch takes a third less time. */
const UNCHECKED = ["skip_validation"];

/**
 * With checks Dawn zeroes workgroup memory by a loop in the kernel's text. Left to Vulkan it is an initializer, of which SwiftShader makes
 * a store for each word: that takes four fifths of the time to make a kernel.
 */
const INITIALIZER = "use_vulkan_zero_initialize_workgroup_memory_extension";

/** Dawn crashes if the object that `create` returned is garbage-collected while one of its devices is in use. */
const instances = new Set<GPU>();

/** By a path, because bundlers of servers follow `createRequire(import.meta.url)` into the package, whose binary they cannot read. */
const requireHere = (): NodeJS.Require => createRequire(fileURLToPath(import.meta.url));

async function loadDawn(): Promise<DawnModule> {
  // Path of a Dawn binary without its npm package, for machines without access to a registry.
  const binary = process.env.DAWN_NODE;
  try {
    if (binary) return requireHere()(binary) as DawnModule;
    const name = "webgpu";
    return (await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ name)) as DawnModule;
  } catch (cause) {
    throw new TurboQuantError(
      "unsupported",
      `webgpu: ${binary ? `DAWN_NODE=${binary} cannot be loaded` : "the package `webgpu` (Dawn for Node) cannot be loaded"}: ` +
        `${cause instanceof Error ? cause.message.split("\n")[0] : cause}; run \`npm install webgpu\`, or use --backend wasm`,
      {},
      { cause },
    );
  }
}

function isInstalled(): boolean {
  if (process.env.DAWN_NODE) return true;
  try {
    requireHere().resolve("webgpu");
    return true;
  } catch {
    return false;
  }
}

/** All steps at once: the second would be asked for when the first is done. isInstalled: whether Dawn is */
export function noVulkan(why: string, isInstalled: boolean): TurboQuantError {
  const besides = isInstalled ? "" : ", run `npm install webgpu`";
  return new TurboQuantError("unsupported", `webgpu: ${why}${besides}, or use --backend wasm`);
}

/**
 * isShared: whether programs beside ours use the device, which count on the checks and the clamped indices of WebGPU
 * @throws TurboQuantError unsupported — Dawn is not installed or does not load, or there is no driver
 */
export async function openNodeGpu({ isShared = false } = {}): Promise<GpuHandle> {
  const why = process.platform === "linux" ? whyNoVulkan(systemPlaces()) : null;
  if (why !== null) {
    throw noVulkan(why, isInstalled());
  }
  const dawn = await loadDawn();
  for (const [name, value] of Object.entries(dawn.globals)) {
    // Makes the WebGPU classes global: errors are recognised by class, and programs that share the device use flags and types.
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  const isChecked = isShared || Boolean(process.env.TQ_GPU_CHECKS);
  const isClamped = isShared || Boolean(process.env.TQ_GPU_CLAMPS);
  const enabled = [...FEATURES, ...(isClamped ? [] : UNCLAMPED), ...(isChecked ? [] : UNCHECKED)];
  const disabled = ["timestamp_quantization", ...(isChecked ? [INITIALIZER] : [])];
  const gpu = dawn.create([`enable-dawn-features=${enabled.join(",")}`, `disable-dawn-features=${disabled.join(",")}`]);
  instances.add(gpu);
  return { gpu, release: () => instances.delete(gpu) };
}
