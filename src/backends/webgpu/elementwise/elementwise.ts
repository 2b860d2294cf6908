/** @file Norms, activations, soft caps and gathering of rows: kernels that are the same on every adapter. */
import { type ColumnRun, MAX_RUNS, runLists } from "../../column-runs.ts";
import type { Activation, Columns, RowNorm, RowParts, StreamMix } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import type { ShaderName } from "../generated/shaders.ts";
import type { GpuBuffer } from "../queue/buffers.ts";
import { type Commands, MAX_GROUPS } from "../queue/commands.ts";
import type { Kernel, KernelSpec } from "../queue/kernel.ts";
import { type ShaderValues, shader } from "../queue/shader-text.ts";

/** Invocations in a workgroup of swiglu.wgsl, activate.wgsl and softcap.wgsl. */
const ACTIVATION_THREADS = 256;

/** Of SwiGLU with limits; see `SwigluClamp`. */
export const clampFields = { limit: "f32", slope: "f32", offset: "f32" } as const;

export const clampOf = ({ clamp }: Pick<Activation, "clamp">) => clamp ?? { limit: 0, slope: 0, offset: 0 };

/** What act.wgsl is made with. */
export const actValues = ({ kind, isGated, clamp }: Pick<Activation, "kind" | "isGated" | "clamp">) => ({
  GATED: isGated,
  CLAMPED: clamp !== undefined,
  SILU: kind === "silu",
  GELU: kind === "gelu",
  GELU_TANH: kind === "gelu_tanh",
  QUICK_GELU: kind === "quick_gelu",
  RELU: kind === "relu",
  RELU2: kind === "relu2",
  XIELU: kind === "xielu",
});

const rmsNorm = new Struct({ cols: "u32", eps: "f32" });
const swiglu = new Struct({
  width: ["u32", "Of a row of `out`; one of `gate_up` has twice as many."],
  length: ["u32", "Of all rows of `out`."],
});
const norm = new Struct({
  cols: "u32",
  first: ["u32", "Of the columns that are normed, in rows of so many values."],
  stride: "u32",
  outFirst: ["u32", "Of the columns that are written."],
  outStride: "u32",
  eps: "f32",
  groups: ["u32", "Rows in turn that have weights of their own."],
  cutoff: ["f32", "Deviations above the mean, of CUT."],
  likeFirst: ["u32", "Of the columns whose length the result has, of LIKE."],
  likeStride: "u32",
});
const activate = new Struct({
  width: ["u32", "Of a row of `out`; one of `x` has twice as many with a gate."],
  length: ["u32", "Of all rows of `out`."],
  ...clampFields,
});
const scaleColumns = new Struct({
  ends: ["u32", MAX_RUNS],
  factors: ["f32", MAX_RUNS],
  width: "u32",
  length: ["u32", "Of all rows of `x`."],
});
const mixStreams = new Struct({
  width: "u32",
  length: ["u32", "Columns of one stream of all rows."],
  streams: ["u32", "Streams in a row of x, and the first of those that are read."],
  fromFirst: "u32",
  outStreams: ["u32", "Streams in a row of `out`, and the first of those that are written."],
  toFirst: "u32",
  first: ["u32", "Of the coefficients in their rows, which have `stride` values."],
  stride: "u32",
  factor: "f32",
});
const resizeParts = new Struct({
  length: ["u32", "Values of all parts that are written."],
  count: ["u32", "Parts of a row."],
  first: ["u32", "Of the parts in rows of x, which have `stride` values."],
  stride: "u32",
  width: "u32",
  outFirst: ["u32", "Of the parts in rows of `out`."],
  outStride: "u32",
  outWidth: "u32",
});
const softcap = new Struct({ length: "u32", cap: "f32" });
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
    // Heads of many rows are more than one dimension takes; then their number is even.
    let [across, down] = [rows, 1];
    while (across > MAX_GROUPS && across % 2 === 0) [across, down] = [across / 2, down * 2];
    this.#commands.dispatch(kernel, { cols, eps }, inPlace ? [weight, out] : [weight, out, x], across, down);
  }

  /** See `Ops.norm`. */
  norm(
    x: GpuBuffer,
    of: Omit<RowNorm, "weight" | "bias" | "factor" | "like"> & {
      readonly weight: GpuBuffer;
      readonly bias: GpuBuffer | null;
      readonly factor: GpuBuffer | null;
      readonly like: (Columns & { readonly rows: GpuBuffer }) | null;
      readonly cols: number;
      readonly first: number;
      readonly stride: number;
      readonly outFirst: number;
      readonly outStride: number;
      readonly groups: number;
    },
    rows: number,
    out: GpuBuffer,
  ): void {
    const { kind, weight, bias, factor, eps, add, cols, first, stride, outFirst, outStride, groups, cutoff, like } = of;
    const inPlace = x === out;
    const values = {
      CENTERED: kind === "layer",
      PLAIN: kind === "none",
      BIASED: bias !== null,
      ADDS: add,
      IN_PLACE: inPlace,
      GROUPED: groups > 1,
      SCALED: factor !== null,
      CUT: cutoff !== undefined,
      LIKE: like !== null,
    };
    const given = [weight, out, ...(inPlace ? [] : [x]), ...(bias ? [bias] : [])];
    const scaled = factor ? [...given, factor] : given;
    const buffers = like ? [...scaled, like.rows] : scaled;
    const kernel = this.#kernel(
      "norm",
      norm,
      ["read", "write", ...buffers.slice(2).map(() => "read" as const)],
      { ...values, BIAS_AT: given.length, FACTOR_AT: scaled.length, LIKE_AT: buffers.length },
      `${kind} norm${bias ? ", bias" : ""}${add ? ", added" : ""}${inPlace ? ", in place" : ""}${groups > 1 ? ", groups" : ""}${factor ? ", factor" : ""}${values.CUT ? ", cut" : ""}${like ? ", length of others" : ""}`,
    );
    const places = { cols, first, stride, outFirst, outStride, groups };
    const own = { eps, cutoff: cutoff ?? 0, likeFirst: like?.first ?? 0, likeStride: like?.stride ?? 0 };
    this.#commands.dispatch(kernel, { ...places, ...own }, buffers, rows * groups);
  }

  /** See `Ops.activate`. */
  activate(
    x: GpuBuffer,
    activation: Omit<Activation, "alphas"> & { readonly alphas: GpuBuffer | null },
    rows: number,
    width: number,
    out: GpuBuffer,
  ): void {
    const length = rows * width;
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / ACTIVATION_THREADS));
    const { kind, isGated, alphas, clamp } = activation;
    const values = { THREADS: ACTIVATION_THREADS, ...actValues(activation) };
    const buffers = alphas ? (["read", "write", "read"] as const) : (["read", "write"] as const);
    const kernel = this.#kernel(
      "activate",
      activate,
      buffers,
      values,
      `${kind}${isGated ? ", gated" : ""}${clamp ? ", limited" : ""}`,
    );
    const params = { width, length, ...clampOf(activation) };
    this.#commands.dispatch(kernel, params, alphas ? [x, out, alphas] : [x, out], groups);
  }

  /** out[r][i] = silu(gateUp[r][i]) · gateUp[r][width + i] */
  swiglu(gateUp: GpuBuffer, rows: number, width: number, out: GpuBuffer): void {
    const length = rows * width;
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / ACTIVATION_THREADS));
    const kernel = this.#kernel("swiglu", swiglu, ["read", "write"], { THREADS: ACTIVATION_THREADS });
    this.#commands.dispatch(kernel, { width, length }, [gateUp, out], groups);
  }

  /** See `Ops.scaleColumns`. */
  scaleColumns(x: GpuBuffer, runs: readonly ColumnRun[], rows: number, width: number): void {
    const length = rows * width;
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / ACTIVATION_THREADS));
    const values = { THREADS: ACTIVATION_THREADS, RUNS: runs.length };
    const kernel = this.#kernel("scale-columns", scaleColumns, ["write"], values, `scale columns, ${runs.length} runs`);
    this.#commands.dispatch(kernel, { ...runLists(runs), width, length }, [x], groups);
  }

  /** See `Ops.mixStreams`. */
  mixStreams(
    x: GpuBuffer,
    mix: StreamMix,
    coefficients: GpuBuffer | null,
    rows: number,
    width: number,
    out: GpuBuffer,
  ) {
    const { from, to, first, stride, factor, add } = mix;
    const length = rows * width;
    const inPlace = x === out;
    const given = inPlace ? [out] : [out, x];
    const values = {
      ...{ THREADS: ACTIVATION_THREADS, INPUTS: from.count, OUTPUTS: to.count },
      ...{ IN_PLACE: inPlace, WEIGHTED: coefficients !== null, ADDS: add, WEIGHTS_AT: given.length + 1 },
    };
    const buffers = coefficients ? [...given, coefficients] : given;
    const kernel = this.#kernel(
      "mix-streams",
      mixStreams,
      ["write", ...buffers.slice(1).map(() => "read" as const)],
      values,
      `mix streams, ${from.count} to ${to.count}${coefficients ? ", weighted" : ""}${add ? ", added" : ""}${inPlace ? ", in place" : ""}`,
    );
    const places = { streams: from.of, fromFirst: from.first, outStreams: to.of, toFirst: to.first, first, stride };
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / ACTIVATION_THREADS));
    this.#commands.dispatch(kernel, { ...places, width, length, factor }, buffers, groups);
  }

  /** See `Ops.resizeParts`. */
  resizeParts(x: GpuBuffer, from: RowParts, count: number, rows: number, out: GpuBuffer, to: RowParts): void {
    const length = rows * count * to.width;
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / ACTIVATION_THREADS));
    const kernel = this.#kernel("resize-parts", resizeParts, ["read", "write"], { THREADS: ACTIVATION_THREADS });
    const { first: outFirst, stride: outStride, width: outWidth } = to;
    this.#commands.dispatch(kernel, { ...from, length, count, outFirst, outStride, outWidth }, [x, out], groups);
  }

  /** x[i] = cap · tanh(x[i] / cap) for i < length */
  softcap(x: GpuBuffer, length: number, cap: number): void {
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / ACTIVATION_THREADS));
    this.#commands.dispatch(
      this.#kernel("softcap", softcap, ["write"], { THREADS: ACTIVATION_THREADS }),
      { length, cap },
      [x],
      groups,
    );
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
    label: string = values["IN_PLACE"] ? `${name}, in place` : name,
  ): Kernel<P> {
    return this.#commands.kernel(label, () => ({
      label,
      shader: shader(name, params, values),
      buffers,
    }));
  }
}
