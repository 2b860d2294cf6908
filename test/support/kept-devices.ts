/**
 * @file GPU devices for all files of a process. To make a pipeline takes a GPU in software longer than all that is computed with it, so a device that is
 * destroyed waits, with the pipelines made on it, for the next that asks for one like it. A device has one user at a time: one who asks while
 * another has it gets a new one. Who comes next finds nothing of the user before but pipelines.
 */
import type { GpuHandle, Platform } from "../../src/platform.ts";

type OpenGpu = Platform["openGpu"];

/** A device and what is made of texts, which never changes. */
class KeptDevice {
  readonly device: GPUDevice;
  readonly #ids = new WeakMap<object, number>();
  readonly #made = new Map<string, object>();
  #nextId = 0;
  isLost = false;

  constructor(device: GPUDevice) {
    this.device = device;
    void device.lost.then(() => {
      this.isLost = true;
    });
  }

  /** What was made of `key` before, or is made now. */
  kept<T extends object>(key: string, make: () => T): T {
    const known = this.#made.get(key) as T | undefined;
    if (known) return known;
    const made = make();
    this.#made.set(key, made);
    this.#ids.set(made, this.#nextId++);
    return made;
  }

  has(key: string): boolean {
    return this.#made.has(key);
  }

  forget(key: string): void {
    this.#made.delete(key);
  }

  /** Which pipeline this is; null when it is made of what is not kept. */
  keyOf({ layout, compute: { module, entryPoint, constants } }: GPUComputePipelineDescriptor): string | null {
    const parts = [typeof layout === "object" ? this.#ids.get(layout) : undefined, this.#ids.get(module)];
    return parts.includes(undefined) ? null : JSON.stringify([...parts, entryPoint, constants]);
  }

  layoutKey(layouts: readonly (GPUBindGroupLayout | null | undefined)[]): string | null {
    const parts = layouts.map((each) => (each ? this.#ids.get(each) : undefined));
    return parts.includes(undefined) ? null : parts.join();
  }
}

/** The device as one user sees it. `onDestroy` is called once. */
function lend(kept: KeptDevice, onDestroy: () => void): GPUDevice {
  const { device } = kept;
  const buffers = new Set<WeakRef<GPUBuffer>>();
  const querySets = new Set<GPUQuerySet>();
  const listeners: [type: string, listener: EventListener][] = [];
  let isDestroyed = false;
  let lose: (info: GPUDeviceLostInfo) => void = () => {};
  const destroyed = new Promise<GPUDeviceLostInfo>((resolve) => {
    lose = resolve;
  });
  const lost = Promise.race([device.lost, destroyed]);
  const own = {
    lost,
    createBindGroupLayout: (of: GPUBindGroupLayoutDescriptor) =>
      kept.kept(`group ${JSON.stringify(of.entries)}`, () => device.createBindGroupLayout(of)),
    createPipelineLayout(of: GPUPipelineLayoutDescriptor) {
      const key = kept.layoutKey([...of.bindGroupLayouts]);
      const make = (): GPUPipelineLayout => device.createPipelineLayout(of);
      return key === null ? make() : kept.kept(`layout ${key}`, make);
    },
    createShaderModule: (of: GPUShaderModuleDescriptor) =>
      kept.kept(`module ${of.code}`, () => device.createShaderModule(of)),
    createComputePipeline(of: GPUComputePipelineDescriptor) {
      const key = kept.keyOf(of);
      const make = (): GPUComputePipeline => device.createComputePipeline(of);
      return key === null ? make() : kept.kept(`pipeline ${key}`, make);
    },
    createComputePipelineAsync(of: GPUComputePipelineDescriptor) {
      const key = kept.keyOf(of);
      const make = (): Promise<GPUComputePipeline> => device.createComputePipelineAsync(of);
      if (key === null) return make();
      if (kept.has(`pipeline ${key}`)) return Promise.resolve(kept.kept(`pipeline ${key}`, make));
      const coming = `pipeline to come ${key}`;
      const pipeline = kept.kept(coming, make);
      pipeline.then(
        (made) => void kept.kept(`pipeline ${key}`, () => made),
        () => kept.forget(coming),
      );
      return pipeline;
    },
    createBuffer(of: GPUBufferDescriptor) {
      const buffer = device.createBuffer(of);
      buffers.add(new WeakRef(buffer));
      return buffer;
    },
    createQuerySet(of: GPUQuerySetDescriptor) {
      const set = device.createQuerySet(of);
      querySets.add(set);
      return set;
    },
    addEventListener(type: string, listener: EventListener) {
      listeners.push([type, listener]);
      device.addEventListener(type, listener);
    },
    removeEventListener(type: string, listener: EventListener) {
      device.removeEventListener(type, listener);
    },
    destroy() {
      if (isDestroyed) return;
      isDestroyed = true;
      for (const buffer of buffers) buffer.deref()?.destroy();
      for (const set of querySets) set.destroy();
      for (const [type, listener] of listeners) device.removeEventListener(type, listener);
      lose({ reason: "destroyed", message: "its user destroyed it" } as GPUDeviceLostInfo);
      onDestroy();
    },
  };
  return standIn(device, own);
}

/** `target` with what `own` has in its place; what is assigned to it is `own`'s. */
function standIn<T extends object>(target: T, own: object): T {
  return new Proxy(own, {
    get(_, key) {
      if (Object.hasOwn(own, key)) return own[key as keyof typeof own];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    has: (_, key) => key in own || key in target,
    getPrototypeOf: () => Object.getPrototypeOf(target),
  }) as T;
}

/** `open` with devices that are kept. */
export function keepDevices(open: OpenGpu): OpenGpu {
  const handles = new Map<string, Promise<GpuHandle>>();
  const waiting = new Map<string, KeptDevice[]>();

  async function deviceOf(key: string, request: () => Promise<GPUDevice>): Promise<GPUDevice> {
    const free = (waiting.get(key) ?? []).filter(({ isLost }) => !isLost);
    const kept = free.pop() ?? new KeptDevice(await request());
    waiting.set(key, free);
    return lend(kept, () => waiting.set(key, [...(waiting.get(key) ?? []), kept]));
  }

  return async (options) => {
    // What Dawn is told when it is opened; see src/node/gpu.ts.
    const { TQ_GPU_CHECKS, TQ_GPU_CLAMPS, VK_DRIVER_FILES } = process.env;
    const how = JSON.stringify([options?.isShared ?? false, TQ_GPU_CHECKS, TQ_GPU_CLAMPS, VK_DRIVER_FILES]);
    const opening = handles.get(how) ?? open(options);
    handles.set(how, opening);
    opening.catch(() => handles.delete(how));
    const { gpu } = await opening;
    return {
      gpu: standIn(gpu, {
        async requestAdapter(wanted?: GPURequestAdapterOptions) {
          const adapter = await gpu.requestAdapter(wanted);
          return (
            adapter &&
            standIn(adapter, {
              requestDevice: (device: GPUDeviceDescriptor = {}) =>
                deviceOf(JSON.stringify([how, wanted, device]), () => adapter.requestDevice(device)),
            })
          );
        },
      }),
    };
  };
}
