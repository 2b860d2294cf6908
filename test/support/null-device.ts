/** @file Dawn without a driver: it has the whole language and computes nothing, so kernels compile on any machine. */

/** What the null adapter offers of what kernels use. */
const FEATURES = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[];

export interface NullDevice {
  /** Lines of what the compiler says of this text, none if it is right. */
  compile(code: string): Promise<string[]>;
  dispose(): void;
}

export async function openNullDevice(): Promise<NullDevice> {
  const { create } = (await import("webgpu")) as { create: (options: string[]) => GPU };
  const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  const adapter = await gpu.requestAdapter();
  const device = await adapter!.requestDevice({ requiredFeatures: FEATURES });
  return {
    async compile(code) {
      const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
      return messages.map(({ lineNum, message }) => `${lineNum}: ${message}`);
    },
    dispose() {
      device.destroy();
      // Dawn crashes when this is collected before its devices.
      void gpu;
    },
  };
}
