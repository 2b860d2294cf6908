/** @file Requests an adapter and opens a device with every feature and limit that kernels can use. */
import { TurboQuantError } from "../../../errors.ts";
import { getPlatform } from "../../../platform.ts";
import { type AdapterIdentity, GpuContext, type GpuFeatures } from "./context.ts";

export interface OpenOptions {
  /** Whether to refuse an adapter that computes on the CPU. */
  readonly hardwareOnly?: boolean;
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

function hasMatrices(adapter: GPUAdapter): boolean {
  const configs = (adapter.info as { subgroupMatrixConfigs?: readonly MatrixConfig[] }).subgroupMatrixConfigs ?? [];
  const fits = (c: MatrixConfig): boolean =>
    c.componentType === "f16" && c.resultComponentType === "f32" && c.M === 16 && c.N === 16 && c.K === 16;
  return adapter.features.has(MATRICES) && [...configs].some(fits);
}

/** @throws TurboQuantError unsupported — no WebGPU, no adapter, or one that is too small; names the next step */
export async function openDevice(options: OpenOptions = {}): Promise<GpuContext> {
  const { gpu, release } = await getPlatform().openGpu();
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
  for (const [name, needed] of Object.entries(NEEDED)) {
    const has = adapter.limits[name as keyof typeof NEEDED];
    if (has >= needed) continue;
    release?.();
    throw new TurboQuantError(
      "unsupported",
      `webgpu: expected an adapter with ${name} of at least ${needed}, got ${has} (${adapterName(adapter)}); use --backend wasm`,
      { limit: name, needed, has },
    );
  }
  const without = new Set(options.without ?? []);
  const { subgroupMinSize, subgroupMaxSize } = adapter.info;
  const subgroups = adapter.features.has("subgroups") && !without.has("subgroups");
  const f16 = adapter.features.has("shader-f16") && !without.has("f16");
  const features: GpuFeatures = {
    f16,
    subgroups,
    subgroupSize: subgroups && subgroupMinSize === subgroupMaxSize ? (subgroupMinSize ?? 0) : 0,
    timestamps: adapter.features.has("timestamp-query") && !without.has("timestamps"),
    matrices: f16 && subgroups && !without.has("matrices") && hasMatrices(adapter),
  };
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
    ...(release && { release }),
  });
}

/** Names of the features that are not used, with the reasons. */
function missingFeatures(features: GpuFeatures, without: ReadonlySet<string>): string[] {
  const names = { f16: "shader-f16", subgroups: "subgroups", matrices: "f16 matrices", timestamps: "timestamp-query" };
  return Object.entries(names)
    .filter(([key]) => !features[key as keyof typeof names])
    .map(([key, name]) => `${name} (${without.has(key) ? "switched off" : "the adapter offers none"})`);
}

/** Drivers that compute on the CPU. They are correct, but slower than the WASM backend. */
function isSoftware(adapter: GPUAdapter): boolean {
  const { architecture, device, description, vendor } = adapter.info;
  const isFallback = (adapter.info as { isFallbackAdapter?: boolean }).isFallbackAdapter === true;
  return (
    isFallback || /swiftshader|llvmpipe|lavapipe|basic render/i.test([vendor, architecture, device, description].join())
  );
}

function identityOf({ vendor, architecture, device, description }: GPUAdapterInfo): AdapterIdentity {
  return { device: [vendor, architecture, device].filter(Boolean).join(" "), driver: description };
}

function adapterName(adapter: GPUAdapter): string {
  const { vendor, architecture, device, description } = adapter.info;
  return description || [vendor, architecture, device].filter(Boolean).join(" ") || "unnamed adapter";
}
