/** @file RMS norm, SwiGLU and the gathering of rows: one kernel each, of the same shape on every adapter. */
import { type ShaderName, shaders } from "../generated/shaders.ts";
import type { GpuBuffer } from "../queue/buffers.ts";
import { type Commands, f32Word, MAX_GROUPS } from "../queue/commands.ts";
import type { Kernel, KernelSpec } from "../queue/kernel.ts";
import { shaderText } from "../queue/shader-text.ts";

/** Invocations of a workgroup of swiglu.wgsl. */
const SWIGLU_THREADS = 256;

export class ElementwiseKernels {
  readonly #commands: Commands;

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  /** out[r] = x[r] / rms(x[r]) · weight; x: [rows][cols] */
  rmsNorm(x: GpuBuffer, weight: GpuBuffer, cols: number, eps: number, rows: number, out: GpuBuffer): void {
    const inPlace = x === out;
    const kernel = inPlace
      ? this.#kernel("rms-norm", ["read", "write"], { IN_PLACE: true })
      : this.#kernel("rms-norm", ["read", "write", "read"], { IN_PLACE: false });
    this.#commands.dispatch(kernel, [cols, f32Word(eps)], inPlace ? [weight, out] : [weight, out, x], rows);
  }

  /** out[r][i] = silu(gateUp[r][i]) · gateUp[r][width + i] */
  swiglu(gateUp: GpuBuffer, rows: number, width: number, out: GpuBuffer): void {
    const length = rows * width;
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / SWIGLU_THREADS));
    this.#commands.dispatch(this.#kernel("swiglu", ["read", "write"]), [width, length], [gateUp, out], groups);
  }

  /** out[i] = x[list[listAt + i]] for `count` rows */
  gatherRows(x: GpuBuffer, list: GpuBuffer, listAt: number, count: number, width: number, out: GpuBuffer): void {
    const kernel = this.#kernel("gather-rows", ["read", "read", "write"]);
    this.#commands.dispatch(kernel, [width, listAt], [x, list, out], count);
  }

  #kernel(name: ShaderName, buffers: KernelSpec["buffers"], values: Readonly<Record<string, boolean>> = {}): Kernel {
    return this.#commands.kernel(`${name} ${JSON.stringify(values)}`, () => ({
      label: values["IN_PLACE"] ? `${name}, in place` : name,
      code: shaderText(name, shaders[name], values),
      buffers,
    }));
  }
}
