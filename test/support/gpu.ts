/** @file A WebGPU device for tests: the machine's own, or SwiftShader, the software Vulkan driver that Chromium brings along. */
import { existsSync } from "node:fs";
import "../../src/node/install.ts";
import type { GpuContext } from "../../src/backends/webgpu/device/context.ts";
import { type OpenOptions, openDevice } from "../../src/backends/webgpu/device/open-device.ts";
import { BufferAllocator, type GpuBuffer } from "../../src/backends/webgpu/queue/buffers.ts";
import { Commands } from "../../src/backends/webgpu/queue/commands.ts";
import { nodePlatform } from "../../src/node/platform.ts";
import { keepDevices } from "./kept-devices.ts";
import { skipReason } from "./optional.ts";

export { GPU_TIMEOUT_MS } from "./optional.ts";

const SWIFTSHADER = ["/usr/lib/chromium/vk_swiftshader_icd.json", "/usr/lib/chromium-browser/vk_swiftshader_icd.json"];

// Before Dawn is loaded: it asks the Vulkan loader once. Every call is checked.
process.env["TQ_GPU_CHECKS"] ??= "1";
process.env["XDG_RUNTIME_DIR"] ??= "/tmp";
/**
 * While anything is awaited, Dawn calls `setImmediate` again and again to look whether it has come. On a GPU in software that takes a whole
 * core from the threads that compute it. A look each millisecond is enough for tests.
 */
globalThis.setImmediate = ((run: (...args: unknown[]) => void, ...args: unknown[]) =>
  setTimeout(run, 1, ...args)) as unknown as typeof setImmediate;

const driver = SWIFTSHADER.find((path) => existsSync(path));
if (driver) process.env["VK_DRIVER_FILES"] ??= driver;

export interface TestGpu {
  readonly context: GpuContext;
  readonly allocator: BufferAllocator;
  readonly commands: Commands;
  /** A buffer with these words or values. */
  upload(data: Uint8Array | Uint32Array | Float32Array): GpuBuffer;
  readFloats(buffer: GpuBuffer, length: number): Promise<Float32Array>;
  dispose(): void;
}

export async function openTestGpu(options: OpenOptions = {}): Promise<TestGpu> {
  const context = await openDevice(options);
  const allocator = new BufferAllocator(context);
  const commands = new Commands(context, allocator);
  return {
    context,
    allocator,
    commands,
    upload(data) {
      const buffer = allocator.allocate(data.byteLength, "test");
      commands.write(buffer, 0, data);
      return buffer;
    },
    readFloats: async (buffer, length) => new Float32Array(await commands.read(buffer, 0, length * 4)),
    dispose() {
      commands.dispose();
      allocator.dispose();
      context.dispose();
    },
  };
}

async function findFailure(): Promise<string | null> {
  try {
    const context = await openDevice();
    context.dispose();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

// For all files of the process: this module is loaded once.
nodePlatform.openGpu = keepDevices(nodePlatform.openGpu);

const failure = await findFailure();
/** Null where there is a device; tests are skipped for this reason otherwise, or fail when TQ_REQUIRE names webgpu. */
export const gpuSkip = skipReason("webgpu", failure === null, `install chromium and libvulkan1 (${failure})`);
