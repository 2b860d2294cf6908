/** @file WebGPU in Node: Dawn, from the optional package `webgpu`. */
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { TurboQuantError } from "../errors.ts";
import type { GpuHandle } from "../platform.ts";

interface DawnModule {
  readonly create: (options: readonly string[]) => GPU;
  readonly globals: Record<string, unknown>;
}

/** Subgroup matrices are experimental, and f16 on NVIDIA is disabled by default. Both are covered by tests on such a device. */
const FEATURES = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"];
/**
 * Dawn checks every call, and clamps every index in shaders. The tests run our kernels with these checks (`TQ_GPU_CHECKS=1`).
 * Without them, encoding a dispatch takes a third less time.
 */
const UNCHECKED = ["skip_validation", "disable_robustness"];

/**
 * With checks Dawn zeroes workgroup memory by a loop in the kernel's text. Left to Vulkan it is an initializer, of which SwiftShader makes
 * a store for each word: that takes four fifths of the time to make a kernel.
 */
const INITIALIZER = "use_vulkan_zero_initialize_workgroup_memory_extension";

/** Dawn crashes if the object that `create` returned is garbage-collected while one of its devices is in use. */
const instances = new Set<GPU>();

async function loadDawn(): Promise<DawnModule> {
  // Path of a Dawn binary without its npm package, for machines without access to a registry.
  const binary = process.env.DAWN_NODE;
  try {
    if (binary) return createRequire(import.meta.url)(binary) as DawnModule;
    const name = "webgpu";
    return (await import(name)) as DawnModule;
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

/** Whether the Vulkan loader will find a driver. Without one Dawn is slow to load and prints warnings. */
function hasVulkanDriver(): boolean {
  const { env } = process;
  if (env.VK_DRIVER_FILES || env.VK_ICD_FILENAMES || env.VK_ADD_DRIVER_FILES) return true;
  const data = (env.XDG_DATA_DIRS || "/usr/local/share:/usr/share").split(":");
  const home = env.XDG_DATA_HOME || join(homedir(), ".local/share");
  return ["/etc", "/etc/xdg", "/usr/local/etc", home, ...data].some((root) => {
    const folder = join(root, "vulkan/icd.d");
    return existsSync(folder) && readdirSync(folder).some((name) => name.endsWith(".json"));
  });
}

/** @throws TurboQuantError unsupported — Dawn is not installed or does not load, or there is no driver */
export async function openNodeGpu(): Promise<GpuHandle> {
  if (process.platform === "linux" && !hasVulkanDriver()) {
    throw new TurboQuantError(
      "unsupported",
      "webgpu: no Vulkan driver is installed; install the GPU's driver, or use --backend wasm",
    );
  }
  const dawn = await loadDawn();
  for (const [name, value] of Object.entries(dawn.globals)) {
    // Makes the WebGPU classes global: errors are recognised by class, and programs that share the device use flags and types.
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  const isChecked = Boolean(process.env.TQ_GPU_CHECKS);
  const enabled = isChecked ? FEATURES : [...FEATURES, ...UNCHECKED];
  const disabled = ["timestamp_quantization", ...(isChecked ? [INITIALIZER] : [])];
  const gpu = dawn.create([`enable-dawn-features=${enabled.join(",")}`, `disable-dawn-features=${disabled.join(",")}`]);
  instances.add(gpu);
  return { gpu, release: () => instances.delete(gpu) };
}
