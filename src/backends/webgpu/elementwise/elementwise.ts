/** @file RMS norm, SwiGLU and gathering of rows: one kernel for each, the same on every adapter. */
import { Struct } from "../../parameters/struct.ts";
import type { ShaderName } from "../generated/shaders.ts";
import type { GpuBuffer } from "../queue/buffers.ts";
import { type Commands, MAX_GROUPS } from "../queue/commands.ts";
import type { Kernel, KernelSpec } from "../queue/kernel.ts";
import { type ShaderValues, shader } from "../queue/shader-text.ts";

/** Invocations in a workgroup of swiglu.wgsl. */
const SWIGLU_THREADS = 256;

const rmsNorm = new Struct({ cols: "u32", eps: "f32" });
const swiglu = new Struct({
  width: ["u32", "Of a row of `out`; one of `gate_up` has twice as many."],
  length: ["u32", "Of all rows of `out`."],
});
const gatherRows = new Struct({ width: "u32", rowsAt: ["u32", "Word of the list in `step`."] });

export class ElementwiseKernels {
  readonly #commands: Commands;

  constructor(commands: Commands) {
    this.#commands = commands;
  }

  /** out[r] = x[r] / rms(x[r]) · weight; x: [rows][cols] */
  rmsNorm(x: GpuBuffer, weight: GpuBuffer, cols: number, eps: number, rows: number, out: GpuBuffer): void {
    const inPlace = x === out;
    const kernel = inPlace
      ? this.#kernel("rms-norm", rmsNorm, ["read", "write"], { IN_PLACE: true })
      : this.#kernel("rms-norm", rmsNorm, ["read", "write", "read"], { IN_PLACE: false });
    this.#commands.dispatch(kernel, { cols, eps }, inPlace ? [weight, out] : [weight, out, x], rows);
  }

  /** out[r][i] = silu(gateUp[r][i]) · gateUp[r][width + i] */
  swiglu(gateUp: GpuBuffer, rows: number, width: number, out: GpuBuffer): void {
    const length = rows * width;
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / SWIGLU_THREADS));
    const kernel = this.#kernel("swiglu", swiglu, ["read", "write"], { THREADS: SWIGLU_THREADS });
    this.#commands.dispatch(kernel, { width, length }, [gateUp, out], groups);
  }

  /** out[i] = x[list[listAt + i]] for `count` rows */
  gatherRows(x: GpuBuffer, list: GpuBuffer, listAt: number, count: number, width: number, out: GpuBuffer): void {
    const kernel = this.#kernel("gather-rows", gatherRows, ["read", "read", "write"]);
    this.#commands.dispatch(kernel, { width, rowsAt: listAt }, [x, list, out], count);
  }

  #kernel<P extends Struct>(
    name: ShaderName,
    params: P,
    buffers: KernelSpec<P>["buffers"],
    values: ShaderValues = {},
  ): Kernel<P> {
    const label = values["IN_PLACE"] ? `${name}, in place` : name;
    return this.#commands.kernel(label, () => ({
      label,
      shader: shader(name, params, values),
      buffers,
    }));
  }
}
