/** @file Requests an adapter and opens a device with every feature and limit that kernels can use, or takes one as it is. */
import { TurboQuantError } from "../../../errors.ts";
import { getPlatform } from "../../../platform.ts";
import { type AdapterIdentity, GpuContext, type GpuFeatures } from "./context.ts";

export interface OpenOptions {
  /** Whether to refuse an adapter that computes on the CPU. */
  readonly hardwareOnly?: boolean;
  /** See `BackendOpenOptions`. */
  readonly isShared?: boolean;
  /** A limit for the bytes of one storage buffer, for tests of adapters with small bindings. */
  readonly bindingLimit?: number;
  /** Features not to use, for tests of the portable kernels and for measuring what a feature gains. */
  readonly without?: readonly ("f16" | "subgroups" | "matrices" | "timestamps")[];
}

/** The limits without which the kernels cannot run. */
const NEEDED = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
} as const;

/** Limits that are requested as large as the adapter allows. */
const WANTED = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBuffersPerShaderStage",
] as const;

const MATRICES = "chromium-experimental-subgroup-matrix";

interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** What an adapter or a device says of itself. */
interface Described {
  readonly info: GPUAdapterInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
}

function hasMatrices({ info, features }: Described): boolean {
  const configs = (info as { subgroupMatrixConfigs?: readonly MatrixConfig[] }).subgroupMatrixConfigs ?? [];
  const fits = (c: MatrixConfig): boolean =>
    c.componentType === "f16" && c.resultComponentType === "f32" && c.M === 16 && c.N === 16 && c.K === 16;
  return features.has(MATRICES) && [...configs].some(fits);
}

/** @throws TurboQuantError unsupported — no WebGPU, no adapter, or one that is too small; names the next step */
export async function openDevice(options: OpenOptions = {}): Promise<GpuContext> {
  const { gpu, release } = await getPlatform().openGpu({ isShared: options.isShared ?? false });
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    release?.();
    throw new TurboQuantError(
      "unsupported",
      "webgpu: no adapter found; install a GPU driver with Vulkan, Metal or D3D12, or use --backend wasm",
    );
  }
  if (options.hardwareOnly && isSoftware(adapter)) {
    release?.();
    throw new TurboQuantError(
      "unsupported",
      `webgpu: the only adapter computes on the CPU (${adapterName(adapter)}); use --backend wasm`,
    );
  }
  const without = new Set(options.without ?? []);
  try {
    checkLimits(adapter);
  } catch (error) {
    release?.();
    throw error;
  }
  const features = featuresOf(adapter, without);
  const requiredFeatures: string[] = [];
  if (features.f16) requiredFeatures.push("shader-f16");
  if (features.subgroups) requiredFeatures.push("subgroups");
  if (features.timestamps) requiredFeatures.push("timestamp-query");
  if (features.matrices) requiredFeatures.push(MATRICES);
  const device = await adapter
    .requestDevice({
      requiredFeatures: requiredFeatures as GPUFeatureName[],
      requiredLimits: Object.fromEntries(WANTED.map((name) => [name, adapter.limits[name]])),
    })
    .catch((cause: unknown) => {
      release?.();
      throw new TurboQuantError(
        "unsupported",
        `webgpu: ${adapterName(adapter)} gives no device (${cause instanceof Error ? cause.message : cause}); close other programs that use the GPU, update its driver, or use --backend wasm`,
        {},
        { cause },
      );
    });
  return new GpuContext({
    device,
    adapterName: adapterName(adapter),
    adapter: identityOf(adapter.info),
    features,
    missing: missingFeatures(features, without),
    isSoftware: isSoftware(adapter),
    ...(options.bindingLimit !== undefined && { bindingLimit: options.bindingLimit }),
    ...(options.isShared !== undefined && { isShared: options.isShared }),
    ...(release && { release }),
  });
}

/**
 * A context over a device that others made and go on using: with the features and limits that it has.
 * @throws TurboQuantError unsupported — it is too small
 */
export function contextOver(device: GPUDevice): GpuContext {
  const described = { info: device.adapterInfo ?? NO_INFO, features: device.features, limits: device.limits };
  checkLimits(described);
  const features = featuresOf(described, new Set());
  return new GpuContext({
    device,
    adapterName: adapterName(described),
    adapter: identityOf(described.info),
    features,
    missing: missingFeatures(features, new Set(), "the device was made without"),
    isSoftware: isSoftware(described),
    isBorrowed: true,
  });
}

/** Of devices that do not tell, as those of older browsers. */
const NO_INFO = { vendor: "", architecture: "", device: "", description: "" } as GPUAdapterInfo;

/** @throws TurboQuantError unsupported */
function checkLimits(of: Described): void {
  for (const [name, needed] of Object.entries(NEEDED)) {
    const has = of.limits[name as keyof typeof NEEDED];
    if (has >= needed) continue;
    throw new TurboQuantError(
      "unsupported",
      `webgpu: expected an adapter with ${name} of at least ${needed}, got ${has} (${adapterName(of)}); use --backend wasm`,
      { limit: name, needed, has },
    );
  }
}

function featuresOf(of: Described, without: ReadonlySet<string>): GpuFeatures {
  const { subgroupMinSize, subgroupMaxSize } = of.info;
  const subgroups = of.features.has("subgroups") && !without.has("subgroups");
  const f16 = of.features.has("shader-f16") && !without.has("f16");
  return {
    f16,
    subgroups,
    subgroupSize: subgroups && subgroupMinSize === subgroupMaxSize ? (subgroupMinSize ?? 0) : 0,
    timestamps: of.features.has("timestamp-query") && !without.has("timestamps"),
    matrices: f16 && subgroups && !without.has("matrices") && hasMatrices(of),
  };
}

/** Names of the features that are not used, with the reasons. */
function missingFeatures(
  features: GpuFeatures,
  without: ReadonlySet<string>,
  why = "the adapter offers none",
): string[] {
  const names = { f16: "shader-f16", subgroups: "subgroups", matrices: "f16 matrices", timestamps: "timestamp-query" };
  return Object.entries(names)
    .filter(([key]) => !features[key as keyof typeof names])
    .map(([key, name]) => `${name} (${without.has(key) ? "switched off" : why})`);
}

/** Drivers that compute on the CPU. They are correct, but slower than the WASM backend. */
function isSoftware({ info }: Described): boolean {
  const { architecture, device, description, vendor } = info;
  const isFallback = (info as { isFallbackAdapter?: boolean }).isFallbackAdapter === true;
  return (
    isFallback || /swiftshader|llvmpipe|lavapipe|basic render/i.test([vendor, architecture, device, description].join())
  );
}

function identityOf({ vendor, architecture, device, description }: GPUAdapterInfo): AdapterIdentity {
  return { device: [vendor, architecture, device].filter(Boolean).join(" "), driver: description };
}

function adapterName({ info }: Described): string {
  const { vendor, architecture, device, description } = info;
  return description || [vendor, architecture, device].filter(Boolean).join(" ") || "unnamed adapter";
}
