/** @file One GPU device for many models: each text becomes a pipeline once, which is most of the time of a GPU in software. */
import { GpuContext } from "../../src/backends/webgpu/device/context.ts";
import type { OpenOptions } from "../../src/backends/webgpu/device/open-device.ts";
import { openDevice } from "../../src/backends/webgpu/device/open-device.ts";

export interface KeptPipelines {
  /** A context over the device, for one backend; the device stays when it is disposed of. */
  context(changes?: Partial<Pick<GpuContext, "isSoftware">>): GpuContext;
  dispose(): void;
}

export async function keepPipelines(options: OpenOptions = {}): Promise<KeptPipelines> {
  const opened = await openDevice(options);
  const device = keeping(opened.device);
  const { adapterName, features, missing, isSoftware } = opened;
  return {
    context: (changes) => new GpuContext({ device, adapterName, features, missing, isSoftware, ...changes }),
    dispose: () => opened.dispose(),
  };
}

/** What `make` gave for a key before, or gives now. */
function kept<T>(known: Map<string, T>, key: string, make: () => T): T {
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}

function keeping(device: GPUDevice): GPUDevice {
  const groups = new Map<string, GPUBindGroupLayout>();
  const layouts = new Map<GPUBindGroupLayout, GPUPipelineLayout>();
  const modules = new Map<string, GPUShaderModule>();
  // The text says which buffers there are, so it stands for the layout too.
  const compiling = new Map<GPUShaderModule, Promise<GPUComputePipeline>>();
  const pipelines = new Map<GPUShaderModule, GPUComputePipeline>();
  let latest: EventListener = () => {};
  device.addEventListener("uncapturederror", (event) => latest(event));
  const own = {
    createBindGroupLayout: (of: GPUBindGroupLayoutDescriptor) =>
      kept(groups, JSON.stringify(of.entries), () => device.createBindGroupLayout(of)),
    createPipelineLayout(of: GPUPipelineLayoutDescriptor) {
      const [group] = of.bindGroupLayouts as GPUBindGroupLayout[];
      const layout = layouts.get(group!) ?? device.createPipelineLayout(of);
      layouts.set(group!, layout);
      return layout;
    },
    createShaderModule: (of: GPUShaderModuleDescriptor) => kept(modules, of.code, () => device.createShaderModule(of)),
    createComputePipeline(of: GPUComputePipelineDescriptor) {
      const { module } = of.compute;
      const pipeline = pipelines.get(module) ?? device.createComputePipeline(of);
      pipelines.set(module, pipeline);
      return pipeline;
    },
    createComputePipelineAsync(of: GPUComputePipelineDescriptor) {
      const { module } = of.compute;
      const pipeline = compiling.get(module) ?? device.createComputePipelineAsync(of);
      compiling.set(module, pipeline);
      void pipeline.then((made) => pipelines.set(module, made)).catch(() => compiling.delete(module));
      return pipeline;
    },
    /** Of the latest context alone. */
    addEventListener(_: string, listener: EventListener) {
      latest = listener;
    },
    destroy() {},
  };
  return new Proxy(device, {
    get(target, key) {
      if (Object.hasOwn(own, key)) return own[key as keyof typeof own];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
