/**
 * @file A compute pipeline with its bind groups.
 *
 * Binding 0 is the parameter block, a uniform at a dynamic offset, the others are storage buffers. Bind groups are made once
 * for each set of buffers. The pipeline is compiled ahead without holding anyone up, or when it is first dispatched.
 */
import { TurboQuantError } from "../../../errors.ts";
import type { Struct } from "../../parameters/struct.ts";
import type { GpuContext } from "../device/context.ts";
import { COMPUTE_STAGE } from "../device/gpu-flags.ts";
import type { GpuBuffer } from "./buffers.ts";
import type { Shader } from "./shader-text.ts";
import { PARAM_BYTES } from "./uniforms.ts";

export interface KernelSpec<P extends Struct> {
  readonly label: string;
  readonly shader: Shader<P>;
  /** Access of the storage buffers at bindings 1, 2, … */
  readonly buffers: readonly ("read" | "write")[];
}

export class Kernel<P extends Struct> {
  readonly label: string;
  /** What a dispatch writes. */
  readonly params: P;
  readonly #context: GpuContext;
  readonly #device: GPUDevice;
  readonly #descriptor: GPUComputePipelineDescriptor;
  #pipeline: GPUComputePipeline | null = null;
  readonly #layout: GPUBindGroupLayout;
  readonly #uniforms: GPUBuffer;
  readonly #groups = new Map<string, { group: GPUBindGroup; buffers: readonly GpuBuffer[] }>();

  constructor(context: GpuContext, uniforms: GPUBuffer, { label, shader, buffers }: KernelSpec<P>) {
    const { device } = context;
    this.label = label;
    this.params = shader.params;
    this.#context = context;
    this.#device = device;
    this.#uniforms = uniforms;
    const entries: GPUBindGroupLayoutEntry[] = [
      { binding: 0, visibility: COMPUTE_STAGE, buffer: { type: "uniform", hasDynamicOffset: true } },
      ...buffers.map((access, i) => ({
        binding: i + 1,
        visibility: COMPUTE_STAGE,
        buffer: { type: access === "read" ? ("read-only-storage" as const) : ("storage" as const) },
      })),
    ];
    const { group, layout, module } = context.own(() => {
      const made = device.createBindGroupLayout({ label, entries });
      return {
        group: made,
        layout: device.createPipelineLayout({ label, bindGroupLayouts: [made] }),
        module: device.createShaderModule({ label, code: shader.code }),
      };
    });
    this.#layout = group;
    this.#descriptor = { label, layout, compute: { module, entryPoint: "main" } };
  }

  /** Blocks the caller for compiling, unless the pipeline was compiled ahead. */
  get pipeline(): GPUComputePipeline {
    this.#pipeline ??= this.#context.own(() => this.#device.createComputePipeline(this.#descriptor));
    return this.#pipeline;
  }

  /**
   * Compiles without blocking, at the same time as other kernels.
   * @throws TurboQuantError internal, device_lost
   */
  async compile(): Promise<void> {
    if (this.#pipeline) return;
    try {
      const pipeline = await this.#context.wait(this.#device.createComputePipelineAsync(this.#descriptor));
      this.#pipeline ??= pipeline;
    } catch (error) {
      if (error instanceof TurboQuantError) throw error;
      throw new TurboQuantError("internal", `webgpu: kernel ${this.label}: ${(error as Error).message}`);
    }
  }

  bindGroup(buffers: readonly GpuBuffer[]): GPUBindGroup {
    let key = "";
    for (const { id } of buffers) key += `${id},`;
    let known = this.#groups.get(key);
    if (!known) {
      const entries = [
        { binding: 0, resource: { buffer: this.#uniforms, size: PARAM_BYTES } },
        ...buffers.map(({ raw }, i) => ({ binding: i + 1, resource: { buffer: raw } })),
      ];
      const descriptor = { label: this.label, layout: this.#layout, entries };
      const group = this.#context.own(() => this.#device.createBindGroup(descriptor));
      known = { group, buffers };
      this.#groups.set(key, known);
    }
    return known.group;
  }

  /** Drops the bind groups that contain a freed buffer. */
  forget(buffer: GpuBuffer): void {
    for (const [key, { buffers }] of this.#groups) if (buffers.includes(buffer)) this.#groups.delete(key);
  }
}
